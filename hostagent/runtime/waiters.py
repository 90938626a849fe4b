"""Clients of `wait`, answered by the shim: `docker run` gets its exit code also when the daemon was killed."""

from __future__ import annotations

import json
import os
import select
from dataclasses import dataclass

from hostagent.runtime.loop import Loop


@dataclass
class Waiters:
    """Connections whose response head is sent and whose body is one chunk, at the exit."""

    loop: Loop

    def __post_init__(self) -> None:
        self._fds: dict[int, bool] = {}

    def add(self, fd: int, removed: bool) -> None:
        self._fds[fd] = removed
        self.loop.watch(fd, 0, lambda events: self._gone(fd, events))  # HUP is always reported

    def _gone(self, fd: int, events: int) -> None:
        if events & (select.EPOLLHUP | select.EPOLLERR):
            self._forget(fd)
            os.close(fd)

    def _forget(self, fd: int) -> None:
        self.loop.unwatch(fd)
        del self._fds[fd]

    def take(self) -> list[tuple[int, bool]]:
        """Hand out all (fd, whether it waits for the removal): somebody else answers them."""
        found = list(self._fds.items())
        for fd, _ in found:
            self._forget(fd)
        return found

    def answer(self, code: int) -> None:
        """All that are left."""
        for fd in tuple(self._fds):
            self._forget(fd)
            answer(fd, code)


def answer(fd: int, code: int, error: str = "") -> None:
    """The last chunk of a response to POST /containers/{id}/wait (RFC 9112, 7.1), and the end of the connection."""
    result = {"StatusCode": code, "Error": {"Message": error}} if error else {"StatusCode": code}
    body = json.dumps(result).encode() + b"\n"
    try:
        os.write(fd, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
    except OSError:
        pass  # the client is gone, or its buffer is full of nothing it ever read
    os.close(fd)
