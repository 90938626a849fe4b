"""Holding ports of the host, on loopback."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from hostagent.errors import Conflict, Invalid, Unsupported
from hostagent.model.network import PortBinding, Protocol
from hostagent.network.ports import FIRST_FREE, LAST_FREE, PortReserver, holder_of


@pytest.fixture
def reserver() -> PortReserver:
    return PortReserver()


@pytest.fixture
def held(reserver: PortReserver) -> Iterator[socket.socket]:
    with closing(reserver.reserve([PortBinding("tcp", "127.0.0.1", 0, 80)])[0]) as made:
        yield made


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_any_free_port(reserver: PortReserver, proto: Protocol) -> None:
    with (
        closing(reserver.reserve([PortBinding(proto, "127.0.0.1", 0, 80)])[0]) as first,
        closing(reserver.reserve([PortBinding(proto, "127.0.0.1", 0, 80)])[0]) as second,
    ):
        ports = [first.getsockname()[1], second.getsockname()[1]]
        assert FIRST_FREE <= ports[0] < ports[1] <= LAST_FREE


def test_a_held_port_refuses_connections_and_other_holders(held: socket.socket) -> None:
    address = held.getsockname()
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(address)
    for option in (0, 1):
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, option)
            with pytest.raises(OSError, match="Address already in use"):
                other.bind(address)


def test_a_listening_program_is_named(reserver: PortReserver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with open("/proc/self/comm") as comm:
            holder = f"{comm.read().strip()}, pid {os.getpid()}"
        assert holder_of("tcp", port) == holder
        for address in ("", "0.0.0.0", "127.0.0.1"):
            with pytest.raises(Conflict) as caught:
                reserver.reserve([PortBinding("tcp", address, port, 80)])[0]
            assert str(caught.value) == (
                f"Bind for {address or '0.0.0.0'}:{port} failed: port is already allocated (by {holder}): "
                f"choose another host port, for example -p {port + 1}:80"
            )


def test_an_udp_program_is_named() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        holder = holder_of("udp", bound.getsockname()[1])
        assert holder is not None
        assert holder.endswith(f", pid {os.getpid()}")


def test_a_range_gives_its_first_free_port(reserver: PortReserver, held: socket.socket) -> None:
    first = held.getsockname()[1]
    binding = PortBinding("tcp", "127.0.0.1", first, 80, host_port_end=first + 1)
    with closing(reserver.reserve([binding])[0]) as next_one:
        assert next_one.getsockname()[1] == first + 1
        with pytest.raises(Conflict, match=f"all ports from {first} to {first + 1} are allocated"):
            reserver.reserve([binding])[0]


def test_connections_in_time_wait_are_no_obstacle_and_the_port_is_ours_alone(reserver: PortReserver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        with socket.create_connection(address) as client:
            accepted, _ = server.accept()
            accepted.close()  # the server closes first: its side is in TIME_WAIT
            assert client.recv(1) == b""
    with socket.socket() as plain, pytest.raises(OSError, match="Address already in use"):
        plain.bind(address)
    with closing(reserver.reserve([PortBinding("tcp", "127.0.0.1", address[1], 80)])[0]):
        with socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect(address)
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="Address already in use"):
                other.bind(address)


def test_an_address_that_the_host_has_not(reserver: PortReserver) -> None:
    with pytest.raises(Invalid, match=r"192\.0\.2\.77:8080 failed: the host has no such address"):
        reserver.reserve([PortBinding("tcp", "192.0.2.77", 8080, 80)])[0]


def test_both_families_get_one_port(reserver: PortReserver) -> None:
    with socket.socket(socket.AF_INET6) as other:
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind(("::1", 0))
        port = other.getsockname()[1]
        wanted = [PortBinding("tcp", host, port, 80, port + 20) for host in ("127.0.0.1", "::1")]
        first, second = reserver.reserve(wanted)
        with first, second:
            assert port < first.getsockname()[1] == second.getsockname()[1]
            with pytest.raises(Conflict, match="Bind for"):
                reserver.reserve([PortBinding("tcp", "::1", second.getsockname()[1], 80)])
        with pytest.raises(Conflict, match=rf"Bind for \[::1\]:{port} failed"):
            reserver.reserve([PortBinding("tcp", host, port, 80) for host in ("127.0.0.1", "::1")])


def test_a_protocol_that_the_kernel_has_not(reserver: PortReserver) -> None:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError:
        with pytest.raises(Unsupported, match="kernel has no sctp"):
            reserver.reserve([PortBinding("sctp", "127.0.0.1", 8080, 80)])[0]
    else:
        reserver.reserve([PortBinding("sctp", "127.0.0.1", 0, 80)])[0].close()
