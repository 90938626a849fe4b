"""inotify(7), as little as following growing files needs: changes of the entries of some folders."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

from hostagent.kernel import constants as c
from hostagent.kernel import libc

_EVENTS = 64 * 1024
_HEAD = struct.Struct("iIII")
"""struct inotify_event: wd, mask, cookie, len; then `len` bytes of name, filled up with NULs."""
WRITTEN = c.IN_MODIFY | c.IN_CREATE | c.IN_MOVED_TO
GONE = c.IN_MOVED_FROM | c.IN_DELETE


class Inotify:
    """`fd` is readable when something happened in one of the folders."""

    def __init__(self) -> None:
        self.fd = libc.inotify_init1(c.IN_CLOEXEC | os.O_NONBLOCK)

    def add(self, folder: str) -> int:
        """Watch it; the same number again for a folder that is watched already. OSError when it is not there."""
        return libc.inotify_add_watch(self.fd, folder, WRITTEN | GONE | c.IN_ONLYDIR)

    def remove(self, watch: int) -> None:
        """No more of it. The kernel has done so already when the folder is gone."""
        try:
            libc.inotify_rm_watch(self.fd, watch)
        except OSError:
            pass

    def events(self) -> Iterator[tuple[int, int, str]]:
        """(watch, mask, name of the entry) of what has happened, oldest first."""
        while True:
            try:
                data = os.read(self.fd, _EVENTS)
            except BlockingIOError:
                return
            position = 0
            while position < len(data):
                watch, mask, _, size = _HEAD.unpack_from(data, position)
                position += _HEAD.size
                yield watch, mask, os.fsdecode(data[position : position + size].rstrip(b"\0"))
                position += size

    def close(self) -> None:
        os.close(self.fd)
