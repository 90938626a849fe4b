"""The pymachine command on a bare engine: `python -m tests.root.cli.on_engine SOCKET ARGS...`, machine "dev1"."""

from __future__ import annotations

import sys
from pathlib import Path

from machine.cli import main, target


def run() -> int:
    path = Path(sys.argv[1])
    target.engine_socket = lambda context, option: path
    target.machine_name = lambda context, option: "dev1"
    return main.invoke(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(run())
