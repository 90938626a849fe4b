"""The connection itself: keep-alive, bodies, back-pressure, limits, clients that go away."""

from __future__ import annotations

import asyncio
import json
import socket

import h11
import pytest

from hostagent.api import http
from tests.unit.api.conftest import Client, Server
from tests.unit.api.fake_engine import frame

CREATE = b'{"Image": "busybox", "Cmd": ["sleep"]}'


async def test_one_connection_serves_many_requests(client: Client) -> None:
    for number in range(50):
        answer = await client.call("POST", f"/v1.47/containers/create?name=c{number}", CREATE)
        assert answer.status == 201
    assert len(json.loads((await client.call("GET", "/v1.47/containers/json")).body)) == 50


async def test_pipelined_requests_are_answered_in_order(client: Client) -> None:
    request = b"GET /v1.47/containers/json HTTP/1.1\r\nHost: d\r\n\r\n"
    client.writer.write(
        b"HEAD /_ping HTTP/1.1\r\nHost: d\r\n\r\n" + request + request.replace(b"json", b"ghost/json")
    )
    for status in ("200", "200", "404"):
        head = await client.head()
        assert head.startswith(f"HTTP/1.1 {status}")
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        await client.reader.readexactly(length)


async def test_a_head_may_come_in_single_bytes(client: Client) -> None:
    for byte in b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n":
        client.writer.write(bytes([byte]))
        await client.writer.drain()
        await asyncio.sleep(0)
    assert (await client.answer_to_raw("GET")).body == b"OK"


async def test_chunked_bodies(client: Client, server: Server) -> None:
    client.writer.write(
        b"POST /v1.47/images/load HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    )
    await asyncio.sleep(0.01)
    client.writer.write(b"6\r\n world\r\n0\r\n\r\n")
    assert b"Loaded" in (await client.answer_to_raw("POST")).body
    assert server.images.loaded == 11


async def test_expect_100_continue(client: Client, server: Server) -> None:
    client.writer.write(
        b"POST /v1.47/images/load HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    )
    assert (await client.head()).startswith("HTTP/1.1 100")
    client.writer.write(b"tar")
    assert (await client.answer_to_raw("POST")).status == 200
    assert server.images.loaded == 3


async def test_http_1_0_ends_with_the_connection(client: Client, server: Server) -> None:
    client.writer.write(b"GET /v1.47/images/a/get HTTP/1.0\r\n\r\n")
    assert "chunked" not in await client.head()
    assert len(await client.reader.read()) == 64 * 65536


async def test_connection_close_is_kept(client: Client) -> None:
    client.writer.write(b"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
    assert (await client.reader.read()).endswith(b"OK")


async def test_a_half_closed_client_is_answered(client: Client) -> None:
    client.writer.write(b"GET /v1.47/images/a/json HTTP/1.1\r\nHost: d\r\n\r\n")
    client.writer.write_eof()
    assert b'"Id"' in await client.reader.read()


async def test_oversized_heads_are_refused(client: Client) -> None:
    client.writer.write(b"GET /_ping HTTP/1.1\r\nHost: d\r\nX: " + b"a" * (http.HEAD_LIMIT + 1000))
    answer = await client.answer_to_raw("GET")
    assert answer.status == 431
    assert "bad request" in json.loads(answer.body)["message"]
    assert await client.reader.read() == b""


async def test_long_heads_within_the_limit_are_served(client: Client) -> None:
    assert (await client.call("GET", "/_ping", X_Registry_Config="a" * 200_000)).status == 200


async def test_nonsense_is_refused(client: Client) -> None:
    client.writer.write(b"\x16\x03\x01 this is TLS\r\n\r\n")
    assert (await client.reader.read()).startswith(b"HTTP/1.1 400")


async def test_a_body_that_ends_early_is_an_error(client: Client, server: Server) -> None:
    client.writer.write(b"POST /v1.47/containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 100\r\n\r\n{}")
    client.writer.write_eof()
    assert (await client.reader.read()).startswith(b"HTTP/1.1 400")
    assert server.engine.calls == []


async def test_an_error_before_the_end_of_a_big_body_arrives(client: Client) -> None:
    """The client goes on sending; the answer must neither wait for the whole body nor be lost by a reset."""
    size = 32 << 20
    client.writer.write(
        b"POST /v1.47/containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: %d\r\n\r\n" % size
    )

    async def send() -> None:
        try:
            for _ in range(size >> 16):
                client.writer.write(b" " * 65536)
                await client.writer.drain()
        except ConnectionError:
            pass  # closed once the answer was out

    sending = asyncio.create_task(send())
    head = await client.head()
    assert head.startswith("HTTP/1.1 400")
    assert "connection: close" in head.lower()
    await sending


async def test_a_slow_reader_holds_the_source_back(client: Client, server: Server) -> None:
    await client.call("POST", "/v1.47/containers/create?name=web", CREATE)
    produced = 0

    async def endless(follow: bool) -> object:  # replaces FakeEngine._log
        nonlocal produced
        while True:
            produced += 1
            yield frame(1, b"x" * 65536)

    server.engine._log = endless  # type: ignore[method-assign,assignment] # the fake's own seam
    _, writer = await asyncio.open_unix_connection(server.path, limit=1)
    writer.write(b"GET /v1.47/containers/web/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n")
    await asyncio.sleep(0.2)
    held = produced
    await asyncio.sleep(0.2)
    assert 0 < produced == held < 64
    writer.close()
    await writer.wait_closed()
    await server.app.close()


async def test_an_unread_upload_holds_the_client_back(server: Server) -> None:
    """A handler that does not read: no more than the buffer may be taken from the socket."""
    waiting = asyncio.Event()

    async def load(stream: object, progress: object, /) -> object:
        await waiting.wait()
        return None

    server.images.load = load  # type: ignore[method-assign] # a handler that does not read
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, server.path)
    client.send(b"POST /v1.47/images/load HTTP/1.1\r\nHost: d\r\nContent-Length: 100000000\r\n\r\n")
    sent = 0
    for _ in range(400):
        try:
            sent += client.send(b"x" * 65536)
        except BlockingIOError:
            await asyncio.sleep(0.001)
    assert sent < 4 << 20
    waiting.set()
    await asyncio.sleep(0.05)
    client.close()


async def test_a_vanished_client_ends_its_stream(client: Client, server: Server) -> None:
    await client.call("POST", "/v1.47/containers/create?name=web", CREATE)
    client.writer.write(b"GET /v1.47/containers/web/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n")
    await client.head()
    client.writer.close()
    await asyncio.wait_for(server.engine.log_closed.wait(), 5)


async def test_a_vanished_client_ends_its_pull(client: Client, server: Server) -> None:
    client.writer.write(b"POST /v1.47/images/create?fromImage=slow&tag=1 HTTP/1.1\r\nHost: d\r\n\r\n")
    await client.head()
    client.writer.close()
    await asyncio.wait_for(server.images.pull_cancelled.wait(), 5)


async def test_a_change_of_state_outlives_its_client(client: Client, server: Server) -> None:
    finished = asyncio.Event()

    async def slow_kill(ref: str, signal: str | None, /) -> None:
        await asyncio.sleep(0.05)
        finished.set()

    server.engine.kill = slow_kill  # type: ignore[method-assign] # long enough to vanish in the middle
    client.writer.write(b"POST /v1.47/containers/web/kill HTTP/1.1\r\nHost: d\r\n\r\n")
    await client.writer.drain()
    await asyncio.sleep(0.01)
    client.writer.transport.abort()
    await asyncio.wait_for(finished.wait(), 5)


async def test_an_error_in_the_middle_of_a_stream_cuts_it(client: Client, server: Server) -> None:
    await client.call("POST", "/v1.47/containers/create?name=web", CREATE)

    async def breaking(follow: bool) -> object:  # replaces FakeEngine._log
        yield frame(1, b"some")
        raise OSError(5, "I/O error")

    server.engine._log = breaking  # type: ignore[method-assign,assignment] # the fake's own seam
    with pytest.raises(h11.RemoteProtocolError, match="incomplete chunked read"):
        await client.call("GET", "/v1.47/containers/web/logs?stdout=1")


async def test_a_bug_is_a_500_and_the_connection_goes_on(client: Client, server: Server) -> None:
    async def broken(ref: str, signal: str | None, /) -> None:
        raise KeyError("oops")

    server.engine.kill = broken  # type: ignore[method-assign] # an unexpected error
    answer = await client.call("POST", "/v1.47/containers/web/kill")
    assert answer.status == 500
    assert json.loads(answer.body)["message"] == "internal error: KeyError: 'oops'"
    assert (await client.call("GET", "/_ping")).status == 200


async def test_a_head_that_is_not_completed_is_not_waited_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.05)
    reader, writer = await asyncio.open_unix_connection(server.path)
    writer.write(b"GET /_ping HTT")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_close_ends_idle_connections_and_streams_and_lets_answers_finish(server: Server) -> None:
    idle_reader, idle = await asyncio.open_unix_connection(server.path)
    stream_reader, stream = await asyncio.open_unix_connection(server.path)
    busy_reader, busy = await asyncio.open_unix_connection(server.path)

    async def slow_kill(ref: str, signal: str | None, /) -> None:
        await asyncio.sleep(0.05)

    server.engine.kill = slow_kill  # type: ignore[method-assign] # still running when the daemon ends
    stream.write(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
    await stream_reader.readuntil(b"\r\n\r\n")
    busy.write(b"POST /containers/web/kill HTTP/1.1\r\nHost: d\r\n\r\n")
    await asyncio.sleep(0.01)
    await server.app.close()
    assert await idle_reader.read() == b""
    assert (await busy_reader.read()).startswith(b"HTTP/1.1 204")
    assert await stream_reader.read() == b""
    for writer in (idle, stream, busy):
        writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_unix_connection(server.path)


async def test_a_lent_body_is_read_from_the_socket(client: Client, server: Server) -> None:
    client.writer.write(
        b"POST /v1.47/build HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"
    )
    await client.writer.drain()
    await asyncio.sleep(0.02)
    client.writer.write(b"lo\r\n6\r\n world\r\n0\r\n\r\n")
    answer = await client.answer_to_raw("POST")
    assert answer.headers["connection"] == "close"
    assert b"Step 1/1" in answer.body
    assert server.builds.received == b"hello world"


async def test_a_lent_body_may_be_announced(client: Client, server: Server) -> None:
    client.writer.write(
        b"POST /v1.47/build HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    )
    assert (await client.head()).startswith("HTTP/1.1 100")
    client.writer.write(b"tar")
    assert (await client.answer_to_raw("POST")).status == 200
    assert server.builds.received == b"tar"


async def test_a_wrong_call_does_not_wait_for_its_body(client: Client, server: Server) -> None:
    client.writer.write(b"POST /v1.47/build?squash=1 HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\n\r\n")
    assert (await client.answer_to_raw("POST")).status == 400
    assert await client.reader.read() == b""


async def test_who_goes_away_within_a_lent_body_ends_it(client: Client, server: Server) -> None:
    client.writer.write(b"POST /v1.47/build HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\n\r\nta")
    client.writer.write_eof()
    assert b"went away" in (await client.answer_to_raw("POST")).body
    assert server.builds.received == b""
