"""TCP from an IPv6 address of the host to a container, where the kernel cannot translate: the container has IPv4 only,
or the client is on the host's own ::1 (Linux has no route_localnet for IPv6).

The container's shim keeps the port bound; each daemon listens beside it (SO_REUSEPORT), so connections that are open
end with the daemon, and new ones wait for nobody. Everything else goes by nftables and never comes here.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable
from dataclasses import dataclass

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
"""For the container to take a connection."""
PAUSE_SECONDS = 1.0
_PIECE = 1 << 18  # bytes read at a time
_BACKLOG = 128


@dataclass(frozen=True)
class Way:
    """Where connections come in on the host, and where they lead: addresses without brackets, and ports."""

    host: tuple[str, int]
    container: tuple[str, int]


class Relays:
    """The listeners of all containers, by container ID. Made and used in the event loop's thread."""

    def __init__(self) -> None:
        self._listening: dict[str, list[_Listener]] = {}

    def open(self, container_id: str, ways: Iterable[Way]) -> None:
        """In place of what the container had. OSError when a port is somebody else's: then there are none."""
        self.close(container_id)
        listening: list[_Listener] = []
        self._listening[container_id] = listening
        try:
            for way in ways:
                listening.append(_Listener(way))
        except OSError:
            self.close(container_id)
            raise

    def close(self, container_id: str) -> None:
        """Connections that are open end; no error when there are none."""
        for listener in self._listening.pop(container_id, ()):
            listener.close()

    def close_all(self) -> None:
        """The daemon ends."""
        for container_id in tuple(self._listening):
            self.close(container_id)


class _Listener:
    def __init__(self, way: Way) -> None:
        self._way = way
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket = socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(way.host)
            self._socket.listen(_BACKLOG)
        except BaseException:
            self._socket.close()
            raise
        self._paused: asyncio.TimerHandle | None = None
        self._listen()

    def _listen(self) -> None:
        self._paused = None
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def close(self) -> None:
        if self._paused:
            self._paused.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        for task in tuple(self._tasks):
            task.cancel()

    def _accept(self) -> None:
        try:
            client, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # it went away
        except OSError as error:
            # Out of descriptors or memory: whoever waits goes on waiting, and we do not turn round for it.
            log.error("no connections to %s:%d for %g s: %s", *self._way.host, PAUSE_SECONDS, error)
            self._loop.remove_reader(self._socket.fileno())
            self._paused = self._loop.call_later(PAUSE_SECONDS, self._listen)
            return
        client.setblocking(False)
        task = self._loop.create_task(self._carry(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, client: socket.socket) -> None:
        family = socket.AF_INET6 if ":" in self._way.container[0] else socket.AF_INET
        with client, socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as server:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._loop.sock_connect(server, self._way.container)
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._copy(client, server))
                    both.create_task(self._copy(server, client))
            except* (OSError, TimeoutError) as group:
                log.debug("a connection to %s:%d: %s", *self._way.host, group.exceptions[0])

    async def _copy(self, source: socket.socket, target: socket.socket) -> None:
        """Until `source` has no more to say, which `target` is told."""
        while data := await self._loop.sock_recv(source, _PIECE):
            await self._loop.sock_sendall(target, data)
        target.shutdown(socket.SHUT_WR)
