"""A full disk, in one sentence, wherever it shows."""

from __future__ import annotations

import errno
import os
import sqlite3

LOOK_EVERY = 64 << 20  # bytes
LOOK_AT_LEAST_EVERY = 1 << 20
SHARERS = 4
"""How many may write at once without a look at each other's bytes."""
KEPT = 0.02  # of the file system, in blocks and in inodes
TEXT = (
    "no space left on the engine's disk; nothing was kept: remove images or containers "
    "that are not needed (docker rmi, docker rm), then try again"
)


def is_full(error: BaseException) -> bool:
    """Whether `error` says that a disk, or the user's share of it, is used up."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_FULL


class Reserve:
    """Lets bytes through as long as the file system of `path` keeps some space for everybody else.

    What an archive unpacks to is known only afterwards: without this a few kilobytes could fill the disk to the last
    block, under the databases and logs of running containers. Small images pass on any disk.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._until_next = LOOK_EVERY

    def take(self, count: int) -> None:
        """`count` more bytes are about to be written. Raises OSError(ENOSPC)."""
        self._until_next -= count
        if self._until_next > 0:
            return
        disk = os.statvfs(self._path)
        room = disk.f_bavail - disk.f_blocks * KEPT
        # Some file systems have no fixed number of inodes, and say 0.
        if room < 0 or (disk.f_files and disk.f_favail < disk.f_files * KEPT):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        # The less there is the sooner: what comes until then must fit, also beside others who unpack at once.
        share = int(room * disk.f_frsize) // SHARERS
        self._until_next = min(LOOK_EVERY, max(share, LOOK_AT_LEAST_EVERY))
