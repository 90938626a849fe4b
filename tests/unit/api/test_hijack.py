"""Connections that become raw streams: every order in which a client's bytes and FIN may come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from hostagent.api.http import HEAD_READ
from hostagent.model.stream import AttachOptions
from tests.unit.api.conftest import Client, Server
from tests.unit.api.fake_engine import frame

ATTACH = (
    "POST {prefix}/containers/c/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: d\r\n{more}\r\n"
)
UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp\r\n"


@pytest.fixture
async def attachable(server: Server, client: Client) -> AsyncIterator[Client]:
    """A running container "c" that echoes its stdin."""
    body = b'{"Image": "busybox", "OpenStdin": true, "Cmd": ["sleep"]}'
    assert (await client.call("POST", "/containers/create?name=c", body)).status == 201
    await server.engine.start("c", "")
    yield client


def attach(more: str = UPGRADE, prefix: str = "/v1.47") -> bytes:
    return ATTACH.format(prefix=prefix, more=more).encode()


@pytest.mark.parametrize("size", [3, 5_000_000])
async def test_stdin_after_the_answer(attachable: Client, server: Server, size: int) -> None:
    attachable.writer.write(attach())
    head = await attachable.head()
    assert head.startswith("HTTP/1.1 101 UPGRADED\r\n")
    assert "Content-Type: application/vnd.docker.multiplexed-stream\r\n" in head
    assert "Connection: Upgrade\r\nUpgrade: tcp\r\n" in head
    attachable.writer.write(b"x" * size)
    attachable.writer.write_eof()
    await attachable.reader.read()
    assert server.engine.find("c").output == b"x" * size
    expected = AttachOptions(stream=True, stdin=True, stdout=True, stderr=True)
    assert ("attach", "c", expected) in server.engine.calls


@pytest.mark.parametrize("more", [UPGRADE, "Content-Length: 0\r\n", "Content-Type: text/plain\r\n"])
@pytest.mark.parametrize("eof", [True, False])
async def test_stdin_in_the_same_segment_as_the_request(
    attachable: Client, server: Server, more: str, eof: bool
) -> None:
    attachable.writer.write(attach(more) + b"hi\n")
    if eof:
        attachable.writer.write_eof()
    head = await attachable.head()
    assert head.startswith("HTTP/1.1 101" if "Upgrade" in more else "HTTP/1.1 200 OK")
    assert await attachable.reader.readexactly(11) == frame(1, b"hi\n")
    if not eof:
        attachable.writer.write_eof()
    assert await attachable.reader.read() == b""


async def test_without_upgrade_the_stream_has_its_old_name(attachable: Client) -> None:
    attachable.writer.write(attach(""))
    attachable.writer.write_eof()
    head = await attachable.head()
    assert head == "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
    await attachable.reader.read()


async def test_before_api_1_42_the_stream_has_its_old_name(attachable: Client) -> None:
    attachable.writer.write(attach(UPGRADE, "/v1.41"))
    attachable.writer.write_eof()
    assert "application/vnd.docker.raw-stream" in await attachable.head()
    await attachable.reader.read()


async def test_fin_before_our_101(attachable: Client, server: Server) -> None:
    """`echo hi | docker run -i`: stdin and its end are there before the engine has got to the upgrade."""
    server.engine.upgrade_gate.clear()
    attachable.writer.write(attach() + b"hi\n")
    attachable.writer.write_eof()
    await asyncio.sleep(0.05)
    server.engine.upgrade_gate.set()
    assert (await attachable.head()).startswith("HTTP/1.1 101")
    assert await attachable.reader.read() == frame(1, b"hi\n")


async def test_stdin_while_the_engine_is_getting_ready(attachable: Client, server: Server) -> None:
    """More than the connection holds for a waiting engine: nothing is lost, nothing is out of order."""
    server.engine.upgrade_gate.clear()
    data = bytes(range(256)) * 8000
    attachable.writer.write(attach() + data[:100_000])
    await asyncio.sleep(0.01)
    attachable.writer.write(data[100_000:])
    attachable.writer.write_eof()
    await asyncio.sleep(0.05)
    server.engine.upgrade_gate.set()
    await attachable.head()
    await attachable.reader.read()
    assert server.engine.find("c").output == data
    assert len(server.engine.early[0]) <= HEAD_READ, "it has to fit one message to a shim"


async def test_errors_before_the_upgrade_are_http(attachable: Client) -> None:
    attachable.writer.write(attach().replace(b"/c/", b"/ghost/"))
    head = await attachable.head()
    assert head.startswith("HTTP/1.1 404")
    assert b"No such container: ghost" in await attachable.reader.readuntil(b"\n")
    assert (await attachable.call("GET", "/_ping")).status == 200, (
        "the connection is still an HTTP connection"
    )


async def test_exec_stream_with_the_first_bytes_behind_its_body(attachable: Client, server: Server) -> None:
    body = b'{"Cmd": ["cat"], "AttachStdin": true, "AttachStdout": true}'
    assert (await attachable.call("POST", "/containers/c/exec", body)).status == 201
    start = b'{"Detach": false, "Tty": true}'
    head = f"POST /v1.47/exec/e1/start HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n{UPGRADE}"
    attachable.writer.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(start) + start + b"early ")
    answered = await attachable.head()
    assert "application/vnd.docker.raw-stream" in answered, "a terminal is not multiplexed"
    attachable.writer.write(b"late")
    attachable.writer.write_eof()
    assert await attachable.reader.read() == b"early late"


async def test_an_upgrade_that_is_not_for_us_is_a_plain_request(client: Client) -> None:
    """curl --http2 asks to upgrade to h2c on any request."""
    client.writer.write(b"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert (await client.head()).startswith("HTTP/1.1 200")
    await client.reader.readexactly(2)
    client.writer.write(b"GET /version HTTP/1.1\r\nHost: d\r\n\r\n")
    head = await client.head()
    length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
    assert json.loads(await client.reader.readexactly(length))["ApiVersion"] == "1.47"


async def test_a_client_that_vanished_before_the_upgrade(attachable: Client, server: Server) -> None:
    server.engine.upgrade_gate.clear()
    attachable.writer.write(attach())
    await asyncio.sleep(0.02)
    attachable.writer.transport.abort()
    await asyncio.sleep(0.02)
    server.engine.upgrade_gate.set()
    await asyncio.sleep(0.02)
    reader, writer = await asyncio.open_unix_connection(server.path)
    assert (await Client(reader, writer).call("GET", "/_ping")).status == 200
    writer.close()


async def test_closing_the_application_leaves_taken_streams_alone(attachable: Client, server: Server) -> None:
    attachable.writer.write(attach())
    await attachable.head()
    await server.app.close()
    attachable.writer.write(b"still here")
    attachable.writer.write_eof()
    assert await attachable.reader.read() == frame(1, b"still here")
