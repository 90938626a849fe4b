"""A full disk, in one sentence, wherever it shows."""

from __future__ import annotations

import errno
import sqlite3

TEXT = (
    "no space left on the engine's disk; nothing was kept: remove images or containers "
    "that are not needed (docker rmi, docker rm), then try again"
)


def is_full(error: BaseException) -> bool:
    """Whether `error` says that a disk, or the user's share of it, is used up."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_FULL
