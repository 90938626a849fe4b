"""Where the laptop's side keeps things (listed in docs/on-disk-layout.md)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

# sun_path of sockaddr_un is 108 bytes with its NUL (unix(7)); the rest is room for a temporary suffix.
LONGEST_SOCKET_PATH = 100


def home() -> Path:
    """Folder of everything that pymachine keeps: $PYMACHINE_HOME, else ~/.pymachine (not created here)."""
    chosen = os.environ.get("PYMACHINE_HOME")
    return Path(chosen).absolute() if chosen else Path.home() / ".pymachine"


def record_path(machine_name: str) -> Path:
    """File that holds the machine's record (`Machine.to_json`)."""
    return home() / "machines" / machine_name / "machine.json"


def run_directory(machine_name: str) -> Path:
    """Folder of a machine's keeper sockets, lock and log: <home>/run, or a short one in /tmp (not made here).

    Every home has a fallback of its own, so that two homes with a machine of one name do not meet.
    """
    directory = home() / "run"
    if len(os.fsencode(directory / f"{machine_name}.control.sock")) <= LONGEST_SOCKET_PATH:
        return directory
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]
    return Path(f"/tmp/pymachine-{os.getuid()}/{digest}")
