"""What the OCI command remembers of a container between two calls: <root>/<id>/state.json and exec.fifo."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass

from hostagent.errors import Conflict, Invalid, NotFound
from hostagent.kernel import libc

FIFO = "exec.fifo"
_STATE = "state.json"
_ID = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9_+.-]{0,1023}")


@dataclass(frozen=True)
class State:
    """`start_time` is field 22 of /proc/<pid>/stat: with it a pid that was used again is told apart."""

    id: str
    pid: int
    start_time: int
    bundle: str
    cgroup: str
    annotations: dict[str, str]


class Store:
    """The states below one root directory."""

    def __init__(self, root: str) -> None:
        self._root = root

    def directory(self, container: str) -> str:
        if not _ID.fullmatch(container):
            raise Invalid(f"invalid container ID {container!r}: letters, digits, _ + . - are allowed")
        return os.path.join(self._root, container)

    def fifo(self, container: str) -> str:
        return os.path.join(self.directory(container), FIFO)

    def reserve(self, container: str) -> None:
        """Take the ID; raises Conflict when it is in use."""
        directory = self.directory(container)
        os.makedirs(self._root, mode=0o711, exist_ok=True)
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError:
            raise Conflict(f"container {container!r} exists already: delete it first") from None

    def save(self, state: State) -> None:
        directory = self.directory(state.id)
        temporary = os.path.join(directory, f".{_STATE}")
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(asdict(state), file)
        os.rename(temporary, os.path.join(directory, _STATE))

    def load(self, container: str) -> State:
        try:
            with open(os.path.join(self.directory(container), _STATE), encoding="utf-8") as file:
                return State(**json.load(file))
        except FileNotFoundError:
            raise NotFound(f"container {container!r} does not exist") from None

    def forget(self, container: str) -> None:
        shutil.rmtree(self.directory(container), ignore_errors=True)

    def status(self, state: State) -> str:
        """created, running or stopped, as the runtime spec has them."""
        if start_time(state.pid) != state.start_time:
            return "stopped"
        return "created" if os.path.exists(self.fifo(state.id)) else "running"


def open_process(state: State) -> int | None:
    """A pidfd of the container's init; None when it has ended."""
    try:
        pidfd = libc.pidfd_open(state.pid)
    except ProcessLookupError:
        return None
    if start_time(state.pid) == state.start_time:
        return pidfd
    os.close(pidfd)
    return None


def start_time(pid: int) -> int | None:
    """In clock ticks since boot; None for a process that is gone or dead (proc(5))."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[19])
