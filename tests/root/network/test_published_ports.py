"""Published ports carry real traffic between namespaces: from outside, from the host, from containers."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from hostagent.errors import Conflict
from hostagent.model.network import PortBinding, Protocol
from tests.root.network.conftest import HOST, OUTSIDE, World
from tests.root.network.places import SECONDS, Container, arrives, exchange

pytestmark = pytest.mark.root


@pytest.fixture(params=["tcp", "udp"])
def proto(request: pytest.FixtureRequest) -> Protocol:
    found: Protocol = request.param
    return found


@pytest.fixture(params=["0", "1"], ids=["bridge-nf off", "bridge-nf on"])
def bridge_nf(request: pytest.FixtureRequest, world: World) -> None:
    """With br_netfilter (other engines load it) bridged packets meet the table a second time."""
    world.host.sysctl("bridge/bridge-nf-call-iptables", request.param)
    world.network.ensure()


@pytest.fixture
def web(world: World, proto: Protocol) -> Container:
    """A container that publishes its port 80 as the host's 8080."""
    container = world.container("a")
    world.network.publish(container.id, container.ip, [PortBinding(proto, "", 8080, 80)])
    return container


@pytest.fixture
def server(web: Container, proto: Protocol) -> Iterator[socket.socket]:
    with web.server(proto, 80) as made:
        yield made


@pytest.mark.usefixtures("bridge_nf")
class TestSources:
    def test_outside_source_is_preserved(self, world: World, server: socket.socket) -> None:
        assert exchange(world.outside, server, HOST, 8080) == OUTSIDE

    def test_host_by_loopback(self, world: World, server: socket.socket) -> None:
        assert exchange(world.host, server, "127.0.0.1", 8080) == world.network.gateway

    def test_host_by_its_address(self, world: World, server: socket.socket) -> None:
        assert exchange(world.host, server, HOST, 8080) == HOST

    @pytest.mark.parametrize("by_gateway", [False, True], ids=["address", "gateway"])
    def test_hairpin_from_itself(
        self, world: World, web: Container, server: socket.socket, by_gateway: bool
    ) -> None:
        address = world.network.gateway if by_gateway else HOST
        assert exchange(web, server, address, 8080) == world.network.gateway

    @pytest.mark.parametrize("by_gateway", [False, True], ids=["address", "gateway"])
    def test_from_another_container(self, world: World, server: socket.socket, by_gateway: bool) -> None:
        other = world.container("b")
        address = world.network.gateway if by_gateway else HOST
        assert exchange(other, server, address, 8080) == world.network.gateway

    def test_containers_reach_each_other_directly(
        self, world: World, web: Container, server: socket.socket
    ) -> None:
        other = world.container("b")
        assert exchange(other, server, web.ip, 80) == other.ip


def test_unpublished_again(world: World, web: Container, server: socket.socket, proto: Protocol) -> None:
    exchange(world.outside, server, HOST, 8080)
    world.network.unpublish(web.id)
    assert not arrives(world.outside, server, HOST, 8080)
    assert not arrives(world.host, server, "127.0.0.1", 8080)
    assert world.db.query("SELECT * FROM network_ports") == []


def test_one_address_only(world: World, proto: Protocol) -> None:
    world.host.run("ip address add 198.51.100.9/24 dev uplink0")
    container = world.container("a")
    world.network.publish(
        container.id,
        container.ip,
        [PortBinding(proto, "127.0.0.1", 8080, 80), PortBinding(proto, "198.51.100.9", 8081, 80)],
    )
    with container.server(proto, 80) as server:
        assert exchange(world.host, server, "127.0.0.1", 8080) == world.network.gateway
        assert exchange(world.outside, server, "198.51.100.9", 8081) == OUTSIDE
        assert not arrives(world.outside, server, HOST, 8080)
        assert not arrives(world.outside, server, HOST, 8081)
        assert not arrives(world.outside, server, "198.51.100.9", 8080)
        # A neighbour may send packets for 127.0.0.1 to our MAC: still not for them.
        world.outside.sysctl("ipv4/conf/eth0/route_localnet", "1")
        world.outside.run("ip address del 127.0.0.1/8 dev lo")
        world.outside.run(f"ip route add 127.0.0.1 via {HOST} src {OUTSIDE}")
        assert not arrives(world.outside, server, "127.0.0.1", 8080)


def test_a_range_of_ports(world: World, proto: Protocol) -> None:
    container = world.container("a")
    world.network.publish(
        container.id, container.ip, [PortBinding(proto, "", 8000 + n, 9000 + n) for n in range(300)]
    )
    for n in (0, 150, 299):
        with container.server(proto, 9000 + n) as server:
            assert exchange(world.outside, server, HOST, 8000 + n) == OUTSIDE
    world.network.unpublish(container.id)
    assert "8000" not in world.host.run("nft list table ip pmtest")


def test_the_same_port_of_two_containers(world: World, web: Container, proto: Protocol) -> None:
    other = world.container("b")
    for address in ("", "127.0.0.1"):
        with pytest.raises(Conflict, match=r"allocated [(]by container aaaaaaaaaaaa[)]"):
            world.network.publish(other.id, other.ip, [PortBinding(proto, address, 8080, 80)])
    with pytest.raises(Conflict, match="published twice"):
        twice = [PortBinding(proto, "", 8090, 80), PortBinding(proto, "0.0.0.0", 8090, 81)]
        world.network.publish(other.id, other.ip, twice)
    # Nothing of the refused ones is left: the first container's port still works, 8090 is free.
    with web.server(proto, 80) as server:
        assert exchange(world.outside, server, HOST, 8080) == OUTSIDE
    assert len(world.db.query("SELECT * FROM network_ports")) == 1


def test_a_reserved_port_is_taken_until_its_holder_goes(world: World, proto: Protocol) -> None:
    first = world.container("a")
    with closing(world.network.reserve_port(PortBinding(proto, "", 8080, 80))[0]) as held:
        assert held.getsockname()[1] == 8080
        world.network.publish(first.id, first.ip, [PortBinding(proto, "", 8080, 80)])
        for address in ("", "127.0.0.1"):
            with pytest.raises(Conflict, match=r"allocated [(]by container aaaaaaaaaaaa[)]"):
                world.network.reserve_port(PortBinding(proto, address, 8080, 80))[0]
        # The holder of the port does not get in the way of the traffic.
        with first.server(proto, 80) as server:
            assert exchange(world.outside, server, HOST, 8080) == OUTSIDE
            assert exchange(world.host, server, "127.0.0.1", 8080) == world.network.gateway
    world.network.reserve_port(PortBinding(proto, "", 8080, 80))[0].close()


def test_an_udp_sender_that_never_pauses_follows_the_rules(world: World) -> None:
    """One client socket, so one conntrack flow, unless the engine makes the kernel forget it."""
    binding = PortBinding("udp", "", 8080, 80)
    first, second = world.container("a"), world.container("b")
    with (
        world.outside.open_socket("udp") as client,
        world.host.server("udp", 8080) as host_server,
        first.server("udp", 80) as first_server,
        second.server("udp", 80) as second_server,
    ):
        client.connect((HOST, 8080))

        def receiver() -> socket.socket:
            client.send(b"question")
            (found,), _, _ = select.select([host_server, first_server, second_server], [], [], SECONDS)
            found.recvfrom(100)
            return found

        assert receiver() is host_server
        world.network.publish(first.id, first.ip, [binding])
        assert receiver() is first_server
        world.network.unpublish(first.id)
        assert receiver() is host_server
        world.network.publish(second.id, second.ip, [binding])
        assert receiver() is second_server


def test_published_again_with_other_ports(world: World, web: Container, proto: Protocol) -> None:
    world.network.publish(web.id, web.ip, [PortBinding(proto, "", 8081, 80)])
    with web.server(proto, 80) as server:
        assert exchange(world.outside, server, HOST, 8081) == OUTSIDE
        assert not arrives(world.outside, server, HOST, 8080)
