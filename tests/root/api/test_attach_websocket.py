"""GET /containers/{id}/attach/ws, on dockerd and on ours, through a client that knows no more than RFC 6455."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon

pytestmark = [pytest.mark.root, pytest.mark.peer]

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class WebSocket:
    """A client; frames are small here."""

    def __init__(self, engine: Engine, target: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(str(engine.socket))
        lines = [f"GET {target} HTTP/1.1", "Host: docker", "Upgrade: websocket", "Connection: Upgrade"]
        lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        self._socket.sendall("\r\n".join([*lines, "Origin: http://docker", "", ""]).encode())
        self._file = self._socket.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers = {}
        while line := self._file.readline().strip().decode():
            name, _, value = line.partition(": ")
            self.headers[name.lower()] = value

    def send(self, opcode: int, payload: bytes) -> None:
        mask = os.urandom(4)
        body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        self._socket.sendall(bytes((0x80 | opcode, 0x80 | len(payload))) + mask + body)

    def receive(self) -> tuple[int, bytes]:
        """The next frame; an end without close is (CLOSE, b"")."""
        head = self._file.read(2)
        if len(head) < 2:
            return CLOSE, b""
        size = head[1]
        if size >= 126:
            size = struct.unpack(
                *(("!H", self._file.read(2)) if size == 126 else ("!Q", self._file.read(8)))
            )[0]
        return head[0] & 0x0F, self._file.read(size)

    def until(self, wanted: bytes) -> int:
        """Reads data until it has ended with `wanted`; the opcode of the last frame."""
        seen = b""
        while not seen.endswith(wanted):
            opcode, payload = self.receive()
            assert opcode in (TEXT, BINARY), f"{opcode} after {seen!r}"
            seen += payload
        return opcode

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@contextmanager
def attached(engine: Engine, target: str) -> Iterator[WebSocket]:
    client = WebSocket(engine, target)
    try:
        yield client
    finally:
        client.close()


@pytest.mark.parametrize(("version", "opcode"), [("1.27", TEXT), ("1.41", BINARY), ("1.44", BINARY)])
def test_what_is_typed_comes_back(engine: Engine, version: str, opcode: int) -> None:
    engine.ok("run", "-d", "-i", "--name", "box", "busybox", "cat")
    with attached(engine, f"/v{version}/containers/box/attach/ws?stream=1&stdin=1&stdout=1") as client:
        assert client.status == 101
        assert client.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        for kind, text in ((TEXT, b"hello\n"), (BINARY, b"again\n")):
            client.send(kind, text)
            assert client.until(text) == opcode
        client.send(PING, b"there?")
        assert client.receive() == (PONG, b"there?")


def test_its_end_is_told(engine: Engine) -> None:
    engine.ok("create", "-i", "--name", "box", "busybox", "sh", "-c", "read a; echo got $a; echo e >&2")
    with attached(engine, "/v1.44/containers/box/attach/ws?stream=1&stdin=1&stdout=1&stderr=0") as client:
        engine.ok("start", "box")
        client.send(TEXT, b"this\n")
        client.until(b"got this\n")
        assert client.receive()[0] == CLOSE


def test_logs_and_no_stream(engine: Engine) -> None:
    engine.ok("run", "--name", "box", "busybox", "echo", "hello")
    with attached(engine, "/v1.44/containers/box/attach/ws?logs=1&stdout=1") as client:
        client.until(b"hello\n")
        assert client.receive()[0] == CLOSE


def test_logs_of_what_has_not_run_yet(engine: Engine) -> None:
    """A start right behind an attach that also wants the log: nothing is missed."""
    engine.ok("create", "--name", "box", "busybox", "echo", "hello")
    with attached(engine, "/v1.44/containers/box/attach/ws?logs=1&stream=1&stdout=1") as client:
        assert engine.api("POST", "/containers/box/start").status == 204
        client.until(b"hello\n")
        kind, data = client.receive()
        if engine.name == "dockerd" and kind != CLOSE:
            # It reads the log after its handshake: what is written in between comes from both.
            assert data == b"hello\n"
            kind, data = client.receive()
        assert kind == CLOSE


def test_a_client_that_closes(engine: Engine) -> None:
    """Its close is answered, and the container goes on."""
    engine.ok("run", "-d", "-i", "-t", "--name", "box", "busybox", "cat")
    with attached(engine, "/v1.44/containers/box/attach/ws?stream=1&stdin=1&stdout=1") as client:
        client.send(TEXT, b"x\n")
        client.until(b"x\r\nx\r\n")
        client.send(CLOSE, struct.pack("!H", 1000))
        assert client.receive()[0] == CLOSE
    assert engine.inspect("box", "{{.State.Running}}") == "true"


def test_detach_keys(engine: Engine) -> None:
    engine.ok("run", "-d", "-i", "-t", "--name", "box", "busybox", "cat")
    target = "/v1.44/containers/box/attach/ws?stream=1&stdin=1&stdout=1&detachKeys=ctrl-x"
    with attached(engine, target) as client:
        client.send(BINARY, b"\x18")
        while (frame := client.receive())[0] != CLOSE:
            assert frame[0] == BINARY
    assert engine.inspect("box", "{{.State.Running}}") == "true"


def test_who_is_not_there(engine: Engine) -> None:
    with attached(engine, "/v1.44/containers/ghost/attach/ws?stream=1") as client:
        assert client.status == 404


def test_a_plain_request_is_told_what_is_missing(daemon: Daemon) -> None:
    daemon.engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "60")
    answer = daemon.engine.api("GET", "/containers/box/attach/ws?stream=1")
    assert (answer.status, "Upgrade: websocket" in answer.message) == (400, True)


def test_the_daemon_says_goodbye(daemon: Daemon) -> None:
    daemon.engine.ok("run", "-d", "-i", "--name", "box", "busybox", "cat")
    with attached(daemon.engine, "/v1.44/containers/box/attach/ws?stream=1&stdout=1&stdin=1") as client:
        client.send(TEXT, b"x\n")
        client.until(b"x\n")
        daemon.stop()
        assert client.receive() == (CLOSE, struct.pack("!H", 1001))
