"""Pins the private attributes of paramiko that machine.ssh.streamlocal uses: real sshd, real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from machine.errors import Unavailable
from machine.ssh.connection import Connection
from machine.ssh.streamlocal import begin_streamlocal, begin_tcp, open_streamlocal


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Path]:
    """Answers with what it got, in capitals, once the sender has closed its half."""
    path = tmp_path / "echo.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        threads = [threading.Thread(target=_serve, args=(server, 3), daemon=True)]
        threads[0].start()
        yield path
        server.shutdown(socket.SHUT_RDWR)
        threads[0].join(5)


def _serve(server: socket.socket, most: int) -> None:
    for _ in range(most):
        try:
            peer, _ = server.accept()
        except OSError:
            return
        with peer:
            data = b""
            while piece := peer.recv(65536):
                data += piece
            peer.sendall(data.upper())


def test_half_close_in_both_directions(connection: Connection, echo: Path) -> None:
    channel = open_streamlocal(connection.transport, str(echo))
    channel.sendall(b"hi")
    channel.shutdown_write()
    assert channel.recv(100) == b"HI"
    assert channel.recv(100) == b""
    channel.close()


def test_many_channels_one_after_another(connection: Connection, tmp_path: Path, echo: Path) -> None:
    for _ in range(3):
        with open_streamlocal(connection.transport, str(echo)) as channel:
            channel.shutdown_write()
            assert channel.recv(1) == b""


def test_a_socket_that_is_not_there(connection: Connection, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"refused to connect to .*nobody"):
        open_streamlocal(connection.transport, str(tmp_path / "nobody"))
    assert connection.run("echo still").text == "still"


def test_a_tcp_port_on_the_far_side(connection: Connection) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answered = threading.Event()
        channel = begin_tcp(connection.transport, server.getsockname(), answered.set)
        assert answered.wait(5) and channel.active
        peer, _ = server.accept()
        with peer, channel:
            peer.sendall(b"over")
            assert channel.recv(10) == b"over"


def test_opening_on_a_dead_connection_is_settled(connection: Connection) -> None:
    connection.close()
    answered = threading.Event()
    channel = begin_streamlocal(connection.transport, "/nowhere", answered.set)
    assert answered.wait(1) and not channel.active
