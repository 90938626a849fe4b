"""What `ps` shows as a process's command line.

The kernel reads it from the process's own memory, between arg_start and arg_end (proc(5), stat fields 48 and 49). A
forked child would go on showing its parent's line, with paths of the host in it; writing there needs no privilege.
"""

from __future__ import annotations

import ctypes


def _argument_area() -> tuple[int, int]:
    """(address, length in bytes) of this process's command line; the same in its forks."""
    with open("/proc/self/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    return start, end - start


class Title:
    """Found once, before the forks; `set` is then a copy of a few bytes."""

    def __init__(self) -> None:
        self._address, self._length = _argument_area()

    def set(self, text: str) -> None:
        """Replace the command line; what does not fit in the old one's length is cut off."""
        line = text.encode()[: self._length - 1].ljust(self._length, b"\0")
        ctypes.memmove(self._address, line, self._length)
