"""The shim's event loop: epoll and callbacks."""

from __future__ import annotations

import select
from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT


class Loop:
    """epoll and callbacks; no timers, so that an idle shim never wakes."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[int], None]] = {}
        self._new: set[int] = set()
        self.running = True

    def watch(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        """Call `callback(events)` when `fd` is ready; replaces an earlier watch of the same fd."""
        if fd in self._callbacks:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
            self._new.add(fd)
        self._callbacks[fd] = callback

    def unwatch(self, fd: int) -> None:
        if self._callbacks.pop(fd, None):
            self._epoll.unregister(fd)

    def close(self) -> None:
        self._epoll.close()

    def run(self) -> None:
        """Until `running` is false. A callback may unwatch any fd, also one that is ready in the same turn; when its
        number is given out again in that turn, the new one's callback does not hear of what the old one was ready for
        (it would wait for the end of a process that goes on, say). What it is ready for itself comes with the next."""
        while self.running:
            self._new.clear()
            for fd, events in self._epoll.poll():
                if fd not in self._new and (callback := self._callbacks.get(fd)):
                    callback(events)
