"""`python -m hostagent.daemon`: the engine's daemon, with or without systemd."""

from hostagent.daemon.main import main

if __name__ == "__main__":
    main()
