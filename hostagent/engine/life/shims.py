"""Shims as the host sees them, without a word from them: whether one lives, and how to end one that does not answer."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from typing import Any

from hostagent import wire
from hostagent.engine.containers import Containers
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


class Shims:
    """Which code keeps which container: a shim runs what it was born with for as long as its container runs."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers

    def list(self) -> list[wire.ShimFact]:
        """Of all containers that run; `current` is false for what a restart of the container would renew."""
        return [
            wire.ShimFact(
                id=each.id,
                name=each.name,
                protocol=each.link.version,
                current=certificate(each.directory).get("code") == processes.CODE,
            )
            for each in self._containers.all()
            if each.link is not None and each.state.pid
        ]
