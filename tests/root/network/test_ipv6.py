"""A dual-stack bridge: real IPv6 traffic between an outside client, the host and containers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from hostagent.errors import Conflict
from hostagent.model.network import PortBinding, Protocol
from hostagent.network import ipam, ruleset
from hostagent.network.bridge import BridgeNetwork, Plan
from hostagent.network.ipam6 import Pool6
from hostagent.network.relay import Relays, Way
from tests.root.network.conftest import World
from tests.root.network.places import Container, arrives, exchange

pytestmark = pytest.mark.root

HOST, OUTSIDE = "2001:db8:1::1", "2001:db8:1::2"  # RFC 3849
SUBNET, GATEWAY = "fd00:77::/64", "fd00:77::1"
BRIDGE, TABLE = "pmsix0", "pmsix"


@dataclass(frozen=True)
class Six:
    """`world` with IPv6 outside, and a dual-stack network with containers of its own."""

    world: World
    network: BridgeNetwork
    containers: tuple[Container, ...]


def make(world: World, **policy: bool) -> BridgeNetwork:
    plan = Plan(
        network_id="6" * 64,
        pool=ipam.Pool(IPv4Network("10.77.0.0/24"), IPv4Address("10.77.0.1")),
        pool6=Pool6(IPv6Network(SUBNET), IPv6Address(GATEWAY)),
        policy=ruleset.Policy(**policy),
    )
    network = BridgeNetwork(world.db, BRIDGE, TABLE, plan=plan)
    network.ensure()
    return network


@pytest.fixture
def six(world: World, request: pytest.FixtureRequest) -> Iterator[Six]:
    """A parameter says what the network is allowed."""
    for place, name, address in ((world.host, "uplink0", HOST), (world.outside, "eth0", OUTSIDE)):
        place.run(f"ip address add {address}/64 dev {name} nodad")
    world.host.run(f"ip -6 route add default via {OUTSIDE}")
    with ExitStack() as stack:
        network = stack.enter_context(closing(make(world, **getattr(request, "param", {}))))
        made = tuple(stack.enter_context(closing(Container(network, letter * 64))) for letter in "ab")
        yield Six(world, network, made)


def address6(container: Container) -> str:
    return container.interface.cidr6.partition("/")[0]


def publish(six: Six, container: Container, *bindings: PortBinding) -> None:
    six.network.publish(container.id, container.ip, bindings, address6(container))


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_a_published_port_keeps_the_source(six: Six, proto: Protocol) -> None:
    web, other = six.containers
    publish(six, web, PortBinding(proto, "::", 8080, 80), PortBinding(proto, "", 8080, 80))
    with web.server(proto, 80, "::") as server:
        assert exchange(six.world.outside, server, HOST, 8080) == OUTSIDE
        # From containers it is the bridge's address: the answer must come back through the host.
        assert exchange(other, server, HOST, 8080) == GATEWAY
        assert exchange(web, server, HOST, 8080) == GATEWAY
        assert exchange(six.world.host, server, HOST, 8080) == HOST
        assert exchange(six.world.outside, server, "198.51.100.1", 8080) == "::ffff:198.51.100.2"
        six.network.unpublish(web.id)
        assert not arrives(six.world.outside, server, HOST, 8080)


def test_the_bridge_can_ask_for_neighbours_at_once(six: Six) -> None:
    """By its link-local address, which would be tentative for a second or two: packets from outside waited for that."""
    shown = six.world.host.run(f"ip -6 address show dev {BRIDGE}")
    assert "fe80::" in shown and "tentative" not in shown


def test_one_address_of_the_host(six: Six) -> None:
    (web, other), host = six.containers, six.world.host
    host.run("ip address add 2001:db8:1::9/64 dev uplink0 nodad")
    publish(six, web, PortBinding("tcp", "2001:db8:1::9", 8080, 80))
    with web.server("tcp", 80, "::") as server:
        assert exchange(six.world.outside, server, "2001:db8:1::9", 8080) == OUTSIDE
        assert not arrives(six.world.outside, server, HOST, 8080)
    for address in ("2001:db8:1::9", "::"):
        with pytest.raises(Conflict, match="already allocated"):
            publish(six, other, PortBinding("tcp", address, 8080, 80))
    publish(six, other, PortBinding("tcp", "", 8080, 80), PortBinding("tcp", HOST, 8080, 80))


def test_the_way_out_and_the_way_in(six: Six) -> None:
    web, other = six.containers
    with six.world.outside.server("tcp", 7, "::") as echo:
        assert exchange(web, echo, OUTSIDE, 7) == HOST
    with other.server("tcp", 80, "::") as server:
        assert exchange(web, server, address6(other), 80) == address6(web)
        assert exchange(six.world.host, server, address6(other), 80) == GATEWAY
        six.world.outside.run(f"ip -6 route add {SUBNET} via {HOST}")
        assert not arrives(six.world.outside, server, address6(other), 80)


@pytest.mark.parametrize("six", [{"masquerade": False}], indirect=True)
def test_without_masquerade_addresses_are_real(six: Six) -> None:
    six.world.outside.run(f"ip -6 route add {SUBNET} via {HOST}")
    with six.world.outside.server("tcp", 7, "::") as echo:
        assert exchange(six.containers[0], echo, OUTSIDE, 7) == address6(six.containers[0])


@pytest.mark.parametrize("six", [{"internal": True}], indirect=True)
def test_an_internal_network_has_no_way_out(six: Six) -> None:
    web, other = six.containers
    with six.world.outside.server("tcp", 7, "::") as echo:
        assert not arrives(web, echo, OUTSIDE, 7)
    with other.server("tcp", 80, "::") as server:
        assert exchange(web, server, address6(other), 80) == address6(web)


@pytest.mark.parametrize("address", ["fd00:ec2::254", "fd20:ce::254"])
def test_metadata_services_are_refused(six: Six, address: str) -> None:
    six.world.outside.run(f"ip address add {address}/128 dev eth0 nodad")
    with six.world.outside.server("tcp", 80, "::") as service:
        assert exchange(six.world.host, service, address, 80) == HOST
        with six.containers[0].open_socket("tcp", address) as asking, pytest.raises(PermissionError):
            asking.connect((address, 80))


@pytest.mark.parametrize("six", [{"metadata": True}], indirect=True)
def test_metadata_services_are_allowed_on_demand(six: Six) -> None:
    six.world.outside.run("ip address add fd00:ec2::254/128 dev eth0 nodad")
    six.world.outside.run("ip address add 169.254.169.254/32 dev eth0")
    with six.world.outside.server("tcp", 80, "::") as service:
        assert exchange(six.containers[0], service, "fd00:ec2::254", 80) == HOST
        assert exchange(six.containers[0], service, "169.254.169.254", 80) == "::ffff:198.51.100.1"


def test_a_flushed_ruleset_is_written_anew(six: Six) -> None:
    web, _ = six.containers
    publish(six, web, PortBinding("tcp", "::", 8080, 80))
    six.world.host.run("nft flush ruleset")
    with web.server("tcp", 80, "::") as server:
        assert not arrives(six.world.outside, server, HOST, 8080)
        with closing(Container(six.network, "c" * 64)):
            assert exchange(six.world.outside, server, HOST, 8080) == OUTSIDE


def test_an_endless_udp_sender_meets_the_new_container(six: Six) -> None:
    first, second = six.containers
    with (
        first.server("udp", 80, "::") as old,
        second.server("udp", 80, "::") as new,
        six.world.outside.open_socket("udp", HOST) as sender,
    ):
        sender.connect((HOST, 8080))
        for container, server in ((first, old), (second, new)):
            publish(six, container, PortBinding("udp", "::", 8080, 80))
            sender.send(b"tick")
            assert server.recvfrom(100)[0] == b"tick"
            six.network.unpublish(container.id)


def test_nothing_is_left(six: Six) -> None:
    publish(six, six.containers[0], PortBinding("tcp", "::", 8080, 80))
    six.network.teardown()
    assert f"table ip6 {TABLE}" not in six.world.host.run("nft list tables")
    assert BRIDGE not in six.world.host.run("ip link")
    assert not six.world.db.query("SELECT * FROM network_leases6")


def test_a_bridge_without_ipv6_drops_it(world: World) -> None:
    """What a container makes up there does not reach the host, nor the world through it."""
    assert world.host.sysctl("ipv6/conf/pmtest0/disable_ipv6") == "1"


def test_a_host_that_listens_to_routers_goes_on(world: World) -> None:
    """accept_ra=1 ends with forwarding: a host would lose its default route some minutes after the first network."""
    if world.host.sysctl("ipv6/conf/all/forwarding") == "1":
        world.host.sysctl("ipv6/conf/all/forwarding", "0")
    world.host.sysctl("ipv6/conf/uplink0/accept_ra", "1")
    world.host.run("ip -6 address add 2001:db8:1::1/64 dev uplink0 nodad")
    world.host.run("ip -6 route add default via fe80::1 dev uplink0 proto ra")
    with closing(make(world)) as network:
        assert world.host.sysctl("ipv6/conf/all/forwarding") == "1"
        assert world.host.sysctl("ipv6/conf/uplink0/accept_ra") == "2"
        assert world.host.sysctl(f"ipv6/conf/{BRIDGE}/accept_ra") == "0"
        network.teardown()


async def test_loopback_is_relayed(six: Six) -> None:
    """[::1] of the host to a container with IPv4 only: much both ways, with half-close; again by the next daemon."""
    web, _ = six.containers
    (held,) = six.network.reserve_port(PortBinding("tcp", "::1", 8080, 80))
    with held, web.server("tcp", 80) as server:
        server.setblocking(False)
        for _ in range(2):
            relays = Relays()
            relays.open(web.id, [Way(("::1", 8080), (web.ip, 80))])
            reader, writer = await asyncio.open_connection("::1", 8080)
            accepted, _peer = await asyncio.get_running_loop().sock_accept(server)
            inner_reader, inner_writer = await asyncio.open_connection(sock=accepted)
            writer.write(b"q" * 3_000_000)
            writer.write_eof()
            assert len(await inner_reader.read()) == 3_000_000
            inner_writer.write(b"a" * 3_000_000)
            inner_writer.close()
            assert len(await reader.read()) == 3_000_000
            writer.close()
            await inner_writer.wait_closed()
            await writer.wait_closed()
            relays.close_all()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("::1", 8080)
