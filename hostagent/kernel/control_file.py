"""Reading and writing the control files of cgroups: one value per write(2), whole contents per read."""

from __future__ import annotations

import os
from itertools import takewhile


def read(path: str) -> str:
    """Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return b"".join(takewhile(bool, iter(lambda: os.read(fd, 65536), None))).decode()
    finally:
        os.close(fd)


def write(path: str, data: bytes) -> None:
    """Raises OSError, also for what the kernel does not take as a value."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def counter(path: str, key: str) -> int:
    """The number behind `key` in a file of "key number" lines; 0 when either is missing."""
    try:
        lines = read(path).splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.split()[0] == key), 0)
