"""The resolver of one container: names of its networks from memory, everything else asked of the host's name servers.

It serves copies of the sockets that the container's shim keeps (runtime/resolver.py). A question about a container is
answered at once; others are forwarded, each from a socket of its own, with a limit on how many and how long.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import struct
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from hostagent.network import dns

log = logging.getLogger(__name__)

SERVER_SECONDS = 4.0
"""For one server's answer over UDP or TCP, as Docker waits."""
CLIENT_SECONDS = 30.0
"""Between questions on a TCP connection."""
UNDER_WAY = 256
"""Forwarded questions and connections of one container at a time; what is more gets no answer, and is asked again."""
_BATCH = 64  # questions read before others have their turn
_DATAGRAM = 65535

Lookup = Callable[[dns.Query], Sequence[dns.Record] | None]
"""The answer from memory; empty when the name is ours and has none of that kind, None when it is not ours."""


class Resolver:
    """Takes over both sockets. `servers` is asked at each forwarding; empty: nothing is forwarded."""

    def __init__(self, udp: int, tcp: int, lookup: Lookup, servers: Callable[[], Sequence[str]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._lookup = lookup
        self._servers = servers
        self._tasks: set[asyncio.Task[None]] = set()
        self._udp = socket.socket(fileno=udp)
        self._tcp = socket.socket(fileno=tcp)
        for each in (self._udp, self._tcp):
            each.setblocking(False)
        self._loop.add_reader(udp, self._questions)
        self._loop.add_reader(tcp, self._connection)

    def close(self) -> None:
        """Stop serving; the shim's sockets stay open."""
        for each in (self._udp, self._tcp):
            self._loop.remove_reader(each.fileno())
            each.close()
        for task in tuple(self._tasks):
            task.cancel()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a name was not resolved", exc_info=error)

    # -- over UDP

    def _questions(self) -> None:
        for _ in range(_BATCH):
            try:
                data, client = self._udp.recvfrom(_DATAGRAM)
            except OSError:
                return  # nothing more, or the container ends
            try:
                query = dns.decode(data)
            except ValueError:
                continue  # no question, or one that cannot be understood: silence, as from other servers
            reply = self._from_memory(query, query.room)
            if reply is not None:
                self._send(reply, client)
            elif len(self._tasks) < UNDER_WAY:
                self._spawn(self._forward_udp(query, data, client))

    async def _forward_udp(self, query: dns.Query, data: bytes, client: tuple[str, int]) -> None:
        self._send(await self._forward(query, data, _ask_udp), client)

    def _send(self, reply: bytes, client: tuple[str, int]) -> None:
        try:
            self._udp.sendto(reply, client)
        except OSError as error:
            log.debug("an answer of %d bytes was not sent: %s", len(reply), error)

    # -- over TCP

    def _connection(self) -> None:
        try:
            client, _ = self._tcp.accept()
        except OSError:
            return  # it went away, or the container ends
        client.setblocking(False)
        if len(self._tasks) < UNDER_WAY:
            self._spawn(self._serve(client))
        else:
            client.close()

    async def _serve(self, client: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=client)
        try:
            while True:
                async with asyncio.timeout(CLIENT_SECONDS):
                    data = await _read_message(reader)
                query = dns.decode(data)
                reply = self._from_memory(query, _DATAGRAM) or await self._forward(query, data, _ask_tcp)
                writer.write(struct.pack(">H", len(reply)) + reply)
                async with asyncio.timeout(CLIENT_SECONDS):
                    await writer.drain()
        except (OSError, EOFError, ValueError, TimeoutError):
            pass  # its last question is answered, or it is none
        finally:
            writer.close()

    # -- answers

    def _from_memory(self, query: dns.Query, room: int) -> bytes | None:
        if query.opcode:
            return dns.answer(query, (), rcode=dns.NOTIMP)
        found = self._lookup(query) if query.klass == dns.IN else None
        return None if found is None else dns.answer(query, found, room=room)

    async def _forward(self, query: dns.Query, data: bytes, ask: Ask) -> bytes:
        """The first server's answer that is one; SERVFAIL when none gives any."""
        for server in self._servers():
            number = secrets.randbelow(1 << 16)
            try:
                async with asyncio.timeout(SERVER_SECONDS):
                    reply = await ask(server, dns.renumbered(data, number), number, query)
            except (OSError, EOFError, TimeoutError) as error:
                log.debug("name server %s: %s", server, str(error) or "no answer in time")
                continue
            return dns.renumbered(reply, query.id)
        return dns.answer(query, (), rcode=dns.SERVFAIL)


Ask = Callable[[str, bytes, int, dns.Query], Coroutine[Any, Any, bytes]]


async def _ask_udp(server: str, data: bytes, number: int, query: dns.Query) -> bytes:
    """A truncated answer goes to the client as it is: that one comes again over TCP."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as upstream:
        upstream.connect((server, 53))
        await loop.sock_sendall(upstream, data)
        while True:
            reply = await loop.sock_recv(upstream, _DATAGRAM)
            if dns.answers(reply, number, query):
                return reply


async def _ask_tcp(server: str, data: bytes, number: int, query: dns.Query) -> bytes:
    reader, writer = await asyncio.open_connection(server, 53)
    try:
        writer.write(struct.pack(">H", len(data)) + data)
        await writer.drain()
        reply = await _read_message(reader)
        if not dns.answers(reply, number, query):
            raise ConnectionError("it answers another question")
        return reply
    finally:
        writer.close()


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">H", await reader.readexactly(2))
    return await reader.readexactly(size)
