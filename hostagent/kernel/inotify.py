"""inotify(7), as little as following a growing file needs: something to wait on, no contents."""

from __future__ import annotations

import os

from hostagent.kernel import constants as c
from hostagent.kernel import libc

_EVENTS = 64 * 1024


class Inotify:
    """Watches one file for writes; `fd` is readable after one."""

    def __init__(self, path: str) -> None:
        self.fd = libc.inotify_init1(c.IN_CLOEXEC | os.O_NONBLOCK)
        try:
            libc.inotify_add_watch(self.fd, path, c.IN_MODIFY)
        except BaseException:
            os.close(self.fd)
            raise

    def drain(self) -> None:
        """Forget what has been reported."""
        try:
            os.read(self.fd, _EVENTS)
        except BlockingIOError:
            pass

    def close(self) -> None:
        os.close(self.fd)
