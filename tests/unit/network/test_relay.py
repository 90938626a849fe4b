"""The relay's listeners, in this namespace's loopback."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from hostagent.network import relay
from hostagent.network.relay import Relays, Way


async def test_out_of_descriptors_is_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a loop that turns for ever; who came meanwhile is served afterwards."""
    monkeypatch.setattr(relay, "PAUSE_SECONDS", 0.2)
    tries = 0
    accept = socket.socket.accept

    def scarce(listener: socket.socket) -> object:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OSError(errno.EMFILE, "too many open files")
        return accept(listener)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    monkeypatch.setattr(socket.socket, "accept", scarce)
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        port: int = probe.getsockname()[1]
    relays = Relays()
    relays.open("c", [Way(("::1", port), server.sockets[0].getsockname()[:2])])
    try:
        reader, writer = await asyncio.open_connection("::1", port)
        await asyncio.sleep(0.1)
        assert tries == 1
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"hello"
        writer.close()
        await writer.wait_closed()
    finally:
        relays.close_all()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.05)
