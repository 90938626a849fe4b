"""Shims as the host sees them, without a word from them: whether one lives, and how to end one that does not answer."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from typing import Any

from hostagent.kernel import libc
from hostagent.runtime import exitrecord, processes


def lock_held(directory: str) -> bool:
    """Whether a shim lives there."""
    try:
        fd = os.open(f"{directory}/{exitrecord.LOCK}", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def certificate(directory: str) -> dict[str, Any]:
    """What the last shim there said of itself at its birth (pid, start, boot_id); empty when there was none."""
    try:
        with open(f"{directory}/{exitrecord.LOCK}", "rb") as file:
            found: dict[str, Any] = json.loads(file.readline())
            return found
    except (FileNotFoundError, ValueError):
        return {}


def end(directory: str) -> bool:
    """SIGKILL the shim that holds the lock there; False when it is gone. Its connection then closes."""
    born = certificate(directory)
    if not lock_held(directory) or born.get("boot_id") != exitrecord.boot_id():
        return False
    try:
        pidfd = libc.pidfd_open(born["pid"])
    except ProcessLookupError:
        return False
    try:
        # The pid could be another's by now; what starts later cannot have the same start time.
        if processes.start_ticks(born["pid"]) == born["start"]:
            libc.pidfd_send_signal(pidfd, signal.SIGKILL)
            return True
    except (FileNotFoundError, ProcessLookupError):
        pass  # it ended while we looked
    finally:
        os.close(pidfd)
    return False
