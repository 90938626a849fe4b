"""`python -m hostagent.runtime`: the OCI command."""

from hostagent.runtime.oci.main import main

if __name__ == "__main__":
    main()
