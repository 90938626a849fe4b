"""One process at a time: a lock file that goes away with its last holder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from machine.errors import Conflict
from machine.store.files import writing


@contextmanager
def locked(path: Path, busy: str, *, patience: float = 0.0) -> Iterator[None]:
    """Holds the lock of `path`; after `patience` seconds of somebody else's hold, Conflict(`busy`).

    flock(2) ends with its process, so a killed holder leaves no lock. The file is removed at the end: whoever
    waited for it meanwhile sees that its file is no longer the one of that name, and tries again.
    """
    end = time.monotonic() + patience
    while True:
        with writing(path):
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                continue  # the last holder has just taken the empty folder away
        try:
            _acquire(fd, end, busy)
            if _is_current(fd, path):
                break
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            path.unlink()
        with suppress(OSError):
            path.parent.rmdir()  # only when empty
        os.close(fd)


def _acquire(fd: int, end: float, busy: str) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise Conflict(busy) from None
            time.sleep(0.05)
        else:
            return


def _is_current(fd: int, path: Path) -> bool:
    try:
        now = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(fd)
    return (held.st_dev, held.st_ino) == (now.st_dev, now.st_ino)
