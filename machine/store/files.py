"""Files that survive a crash at any moment: write a temporary one, fsync, rename, fsync the folder."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from machine.errors import MachineError

_ROOM = "make room on its disk, then run the command again"
_ADVICE = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EACCES: "it belongs to another user: was pymachine run with sudo before?",
    errno.EPERM: "it belongs to another user: was pymachine run with sudo before?",
}


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replaces `path` by `data`, whole or not at all. The folder must exist. MachineError: it cannot be written."""
    with writing(path):
        fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(fd, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        sync_directory(path.parent)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around whatever writes to `path`: a full disk or a read-only one becomes a MachineError that says so."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "mend that, then run the command again")
        raise MachineError(f"{path} cannot be written ({error.strerror or error}): {advice}") from error


def sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
