from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from machine.client.forwards import forward_local, forward_reverse, list_forwards, remove_forward
from machine.client.keeper_start import ensure_keeper, keeper_status
from machine.errors import Conflict, NotFound
from tests.unit.machine_client.conftest import Host


@contextmanager
def echo_server() -> Iterator[tuple[str, int]]:
    """Answers with what it got, once the sender has closed its half."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def one(peer: socket.socket) -> None:
            with peer:
                data = b"".join(iter(lambda: peer.recv(65536), b""))
                peer.sendall(data + b"!")

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(peer,), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        host, port = server.getsockname()
        yield host, port
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def exchange(address: tuple[str, int], data: bytes) -> bytes:
    with socket.create_connection(address, 10) as sock:

        def feed() -> None:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)

        feeder = threading.Thread(target=feed)
        feeder.start()
        got = b"".join(iter(lambda: sock.recv(65536), b""))
        feeder.join()
        return got


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("make", [forward_local, forward_reverse])
def test_a_port_leads_to_the_other_side(host: Host, make: object) -> None:
    assert make in (forward_local, forward_reverse)
    forward = forward_local if make is forward_local else forward_reverse
    with echo_server() as target:
        there = forward(host.machine, ("127.0.0.1", 0), target)
        assert there.listen[1] != 0
        for data in (b"", b"hi", b"x" * 3_000_000):
            assert exchange(there.listen, data) == data + b"!"
        assert list_forwards("test1") == [there]
        remove_forward("test1", there.number)
        with pytest.raises(OSError):
            socket.create_connection(there.listen, 1)
    assert host.sshd.handshakes() == 1


def test_the_same_again_is_no_error_but_another_target_is(host: Host) -> None:
    first = forward_local(host.machine, ("127.0.0.1", free_port()), ("127.0.0.1", 1))
    assert forward_local(host.machine, first.listen, first.target) == first
    with pytest.raises(Conflict, match=r"leads to 127\.0\.0\.1:1 already"):
        forward_local(host.machine, first.listen, ("127.0.0.1", 2))
    with pytest.raises(NotFound, match="no forward 7"):
        remove_forward("test1", 7)


def test_taken_ports_are_said(host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
        with pytest.raises(Conflict, match=r"cannot listen on .* here"):
            forward_local(host.machine, address, ("127.0.0.1", 1))
        with pytest.raises(Conflict, match=r"test1 does not listen on .* for us"):
            forward_reverse(host.machine, address, ("127.0.0.1", 1))
    assert list_forwards("test1") == []


def test_nobody_behind_a_forward_is_a_closed_connection(host: Host) -> None:
    for forward in (forward_local, forward_reverse):
        there = forward(host.machine, ("127.0.0.1", 0), ("127.0.0.1", free_port()))
        with socket.create_connection(there.listen, 10) as sock:
            assert sock.recv(1) == b""


def test_forwards_survive_a_broken_connection_and_idleness(host: Host) -> None:
    ensure_keeper(host.machine, idle=0.1)
    with echo_server() as target:
        local = forward_local(host.machine, ("127.0.0.1", 0), target)
        reverse = forward_reverse(host.machine, ("127.0.0.1", free_port()), target)
        time.sleep(3)
        host.sshd.drop_connections()
        assert exchange(local.listen, b"a") == b"a!"
        deadline = time.monotonic() + 10
        while True:
            # sshd frees the port when it has noticed that its client is gone.
            try:
                assert exchange(reverse.listen, b"b") == b"b!"
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
    assert keeper_status("test1") is not None
    assert all(not forward.problem for forward in list_forwards("test1"))
