"""The bridge as a whole: made, read by an independent reader (pyroute2), damaged and repaired, torn down."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv4Network

import pytest
from pyroute2 import IPRoute

from hostagent.errors import Conflict, EngineError, Invalid, Unavailable
from hostagent.model.network import Interface, PortBinding
from hostagent.network.bridge import BridgeNetwork
from tests.root.network.conftest import BRIDGE, HOST, OUTSIDE, TABLE, World
from tests.root.network.places import Container, Place, arrives, exchange

pytestmark = pytest.mark.root


@pytest.fixture
def reader(world: World) -> Iterator[IPRoute]:
    """Another implementation of rtnetlink, in the host's namespace."""
    with IPRoute() as made:
        yield made


def test_what_the_kernel_has(world: World, reader: IPRoute) -> None:
    container = world.container("a")
    (bridge,) = reader.get_links(ifname=BRIDGE)
    assert bridge.get(("linkinfo", "kind")) == "bridge"
    assert bridge["state"] == "up"
    assert bridge.get("address") == "02:42:ac:11:00:01"
    (address,) = reader.get_addr(index=bridge["index"], family=2)
    assert (address.get("address"), address["prefixlen"]) == ("172.17.0.1", 16)
    (port,) = reader.get_links(ifname=container.host_interface)
    assert (port.get("master"), port["state"], port.get("mtu")) == (bridge["index"], "up", 1500)
    with container.inside(), IPRoute() as inside:
        (card,) = inside.get_links(ifname="eth0")
        assert (card.get("address"), card["state"]) == ("02:42:ac:11:00:02", "up")
        (address,) = inside.get_addr(index=card["index"], family=2)
        assert (address.get("address"), address["prefixlen"]) == ("172.17.0.2", 16)
        assert address.get("broadcast") == "172.17.255.255"
        assert list(inside.get_addr(index=card["index"], family=10)) == []
        (default,) = inside.get_default_routes(family=2)
        assert default.get("gateway") == "172.17.0.1"
        (lo,) = inside.get_links(ifname="lo")
        assert lo["state"] == "up"
    assert world.host.sysctl("ipv4/ip_forward") == "1"
    assert world.host.sysctl(f"ipv4/conf/{BRIDGE}/route_localnet") == "1"


def test_a_second_ensure_changes_nothing(world: World, reader: IPRoute) -> None:
    container = world.container("a")
    world.network.publish(container.id, container.ip, [PortBinding("tcp", "", 8080, 80)])

    def seen() -> tuple[str, ...]:
        return (
            world.host.run("ip -o link"),
            world.host.run("ip -o -4 address"),
            world.host.run("ip route"),
            world.host.run("nft list ruleset"),
        )

    before = seen()
    world.network.ensure()
    assert seen() == before


def test_outbound_is_masqueraded(world: World) -> None:
    container = world.container("a")
    for proto in ("tcp", "udp"):
        with world.outside.server(proto, 7777) as server:
            assert exchange(container, server, OUTSIDE, 7777) == HOST


def test_a_custom_mac(world: World) -> None:
    with closing(Container(world.network, "c" * 64, mac="02:00:00:00:00:77")) as container:
        assert container.interface.mac == "02:00:00:00:00:77"
        with world.outside.server("tcp", 7777) as server:
            assert exchange(container, server, OUTSIDE, 7777) == HOST
    for wrong in ("02:00:00:00:00", "x", "03:00:00:00:00:77"):
        with pytest.raises(Invalid, match="invalid MAC address"):
            world.network.allocate("d" * 64, wrong)


def test_unpublished_ports_are_closed_to_the_outside(world: World) -> None:
    """Also for a neighbour who routes the subnet to us; connections from inside out are answered."""
    container = world.container("a")
    world.outside.run(f"ip route add 172.17.0.0/16 via {HOST}")
    with container.server("tcp", 80) as server:
        assert not arrives(world.outside, server, container.ip, 80)
        assert exchange(world.host, server, container.ip, 80) == world.network.gateway


def test_the_hosts_loopback_is_closed_to_containers(world: World) -> None:
    """route_localnet would let a container route 127.0.0.1 to the bridge."""
    container = world.container("a")
    with container.inside():
        container.sysctl("ipv4/conf/eth0/route_localnet", "1")
        container.run("ip address del 127.0.0.1/8 dev lo")
        container.run(f"ip route add 127.0.0.1 via {world.network.gateway} src {container.ip}")
    with world.host.server("tcp", 9999, "127.0.0.1") as server:
        assert not arrives(container, server, "127.0.0.1", 9999)


def test_the_metadata_address_is_refused_at_once(world: World) -> None:
    container = world.container("a")
    world.outside.run("ip address add 169.254.169.254/32 dev eth0")
    world.host.run(f"ip route add 169.254.169.254 via {OUTSIDE}")
    with world.outside.server("tcp", 80), container.open_socket("tcp") as asking:
        started = time.monotonic()
        with pytest.raises(OSError, match="No route to host"):
            asking.connect(("169.254.169.254", 80))
        assert time.monotonic() - started < 1
        with world.host.open_socket("tcp") as allowed:
            allowed.connect(("169.254.169.254", 80))


@pytest.mark.parametrize(
    "damage",
    [
        "nft flush ruleset",
        f"nft delete table ip {TABLE}",
        f"nft flush chain ip {TABLE} published",
        f"nft flush map ip {TABLE} ports",
        f"ip link del {BRIDGE}",
        f"ip link set {BRIDGE} down",
        f"ip address flush dev {BRIDGE}",
    ],
)
def test_repair(world: World, damage: str) -> None:
    container = world.container("a")
    world.network.publish(container.id, container.ip, [PortBinding("tcp", "", 8080, 80)])
    world.host.run(damage)
    world.network.ensure()
    with container.server("tcp", 80) as server:
        assert exchange(world.outside, server, HOST, 8080) == OUTSIDE
        assert exchange(world.host, server, "127.0.0.1", 8080) == world.network.gateway


def test_a_start_repairs_what_a_firewall_restart_flushed(world: World) -> None:
    first = world.container("a")
    world.network.publish(first.id, first.ip, [PortBinding("tcp", "", 8080, 80)])
    world.host.run("nft flush ruleset")
    second = world.container("b")
    with first.server("tcp", 80) as server:
        assert exchange(world.outside, server, HOST, 8080) == OUTSIDE
    world.host.run("nft flush ruleset")
    world.network.publish(second.id, second.ip, [PortBinding("tcp", "", 8081, 80)])
    with second.server("tcp", 80) as server:
        assert exchange(world.outside, server, HOST, 8081) == OUTSIDE
    world.host.run(f"nft delete element ip {TABLE} ports {{ tcp . 8080 }}")
    world.network.unpublish(first.id)
    world.network.unpublish(second.id)
    assert "elements" not in world.host.run(f"nft list table ip {TABLE}")


def test_a_deleted_bridge_is_made_again_by_connect(world: World) -> None:
    world.host.run(f"ip link del {BRIDGE}")
    container = world.container("a")
    with world.outside.server("tcp", 7777) as server:
        assert exchange(container, server, OUTSIDE, 7777) == HOST


def test_connect_over_the_interface_of_a_killed_daemon(world: World) -> None:
    world.container("a")
    again = world.container("a")
    with world.outside.server("tcp", 7777) as server:
        assert exchange(again, server, OUTSIDE, 7777) == HOST


def test_disconnect_frees_the_name_at_once(world: World) -> None:
    """A restart must not wait for the kernel, which takes tens of milliseconds to delete a veth."""
    first = world.container("a")
    started = time.perf_counter()
    world.network.disconnect(first.id)
    assert time.perf_counter() - started < 0.01
    world.network.disconnect(first.id)
    again = world.container("a")
    assert again.ip == first.ip
    with world.outside.server("tcp", 7777) as server:
        assert exchange(again, server, OUTSIDE, 7777) == HOST


def test_connect_says_what_is_wrong(world: World) -> None:
    interface = Interface("eth0", "02:42:ac:11:00:02", ("172.17.0.2/16",), "172.17.0.1")
    with pytest.raises(EngineError, match="cannot connect container dddddddddddd to the bridge"):
        world.network.connect("d" * 64, interface, netns_fd=9999)


def test_another_mind_of_the_same_state(world: World) -> None:
    """A daemon that was killed and started again continues where the old one was."""
    container = world.container("a")
    world.network.publish(container.id, container.ip, [PortBinding("tcp", "", 8080, 80)])
    with closing(BridgeNetwork(world.db, BRIDGE, TABLE)) as again, container.server("tcp", 80) as server:
        again.reconcile([container.id])
        assert again.subnet == IPv4Network("172.17.0.0/16")
        assert again.allocate(container.id) == container.interface
        assert exchange(world.outside, server, HOST, 8080) == OUTSIDE
        again.unpublish(container.id)
        assert not arrives(world.outside, server, HOST, 8080)


def test_reconcile_drops_the_dead(world: World) -> None:
    dead, alive = world.container("a"), world.container("b")
    for number, container in enumerate((dead, alive)):
        world.network.publish(container.id, container.ip, [PortBinding("tcp", "", 8080 + number, 80)])
    world.network.reconcile([alive.id])
    names = world.host.run("ip -o link")
    assert dead.host_interface not in names
    assert alive.host_interface in names
    assert "8080" not in world.host.run(f"nft list table ip {TABLE}")
    assert world.network.allocate("c" * 64).ip == dead.ip
    with alive.server("tcp", 80) as server:
        assert exchange(world.outside, server, HOST, 8081) == OUTSIDE


def test_teardown_leaves_nothing(world: World) -> None:
    before = world.host.run("ip -o link").count("\n")
    container = world.container("a")
    world.network.publish(container.id, container.ip, [PortBinding("udp", "", 8080, 80)])
    world.network.teardown()
    links = world.host.run("ip -o link")
    assert BRIDGE not in links
    assert "pm-" not in links
    assert links.count("\n") == before - 1
    assert world.host.run("nft list ruleset") == ""
    for table in ("network_bridges", "network_leases", "network_ports"):
        assert world.db.query(f"SELECT * FROM {table}") == []
    world.network.teardown()


def test_a_subnet_that_the_host_routes_is_avoided(world: World) -> None:
    world.network.teardown()
    world.host.run(f"ip route add 172.17.128.0/24 via {OUTSIDE}")
    world.network.ensure()
    assert world.network.subnet == IPv4Network("172.18.0.0/16")


def test_a_given_subnet(world: World) -> None:
    world.network.teardown()
    with closing(BridgeNetwork(world.db, BRIDGE, TABLE, "10.88.0.0/24")) as network:
        network.ensure()
        assert world.host.run(f"ip -o -4 address show {BRIDGE}").split()[3] == "10.88.0.1/24"
        network.allocate("a" * 64)
    with closing(BridgeNetwork(world.db, BRIDGE, TABLE, "10.89.0.0/24")) as network:
        with pytest.raises(Conflict, match=r"have addresses in 10\.88\.0\.0/24"):
            network.ensure()
        network.release("a" * 64)
        network.ensure()
        assert world.host.run(f"ip -o -4 address show {BRIDGE}").split()[3] == "10.89.0.1/24"
        network.teardown()
    with (
        closing(BridgeNetwork(world.db, BRIDGE, TABLE, "198.51.100.0/25")) as network,
        pytest.raises(Conflict, match=r"overlaps the host's route to 198\.51\.100\.0/24"),
    ):
        network.ensure()


def test_a_foreign_interface_with_the_bridges_name(world: World) -> None:
    with (
        closing(BridgeNetwork(world.db, "uplink0", "pmtest2")) as network,
        pytest.raises(Conflict, match="uplink0 exists and is no bridge"),
    ):
        network.ensure()
    with pytest.raises(Invalid, match="bridge name"):
        BridgeNetwork(world.db, "with space", "pmtest2")


def test_two_bridges_at_once(world: World) -> None:
    """Two daemons in one namespace: both publish, each to the other's containers too."""
    with closing(BridgeNetwork(world.db, "pmtest1", "pmtest2")) as second:
        second.ensure()
        assert second.subnet == IPv4Network("172.18.0.0/16")
        here = world.container("a")
        world.network.publish(here.id, here.ip, [PortBinding("tcp", "", 8080, 80)])
        with closing(Container(second, "b" * 64)) as there, here.server("tcp", 80) as server:
            second.publish(there.id, there.ip, [PortBinding("tcp", "", 8081, 80)])
            assert exchange(world.outside, server, HOST, 8080) == OUTSIDE
            assert exchange(there, server, HOST, 8080) == world.network.gateway
            assert not arrives(there, server, here.ip, 80), "bridges are isolated from each other"
            with there.server("tcp", 80) as other:
                assert exchange(world.outside, other, HOST, 8081) == OUTSIDE
        second.teardown()


def test_the_uplinks_mtu(world: World) -> None:
    world.host.run("ip link set uplink0 mtu 1460")
    world.network.ensure()
    container = world.container("a")
    assert container.interface.mtu == 1460
    assert "mtu 1460" in container.run("ip link show eth0")


def test_a_full_subnet(world: World) -> None:
    world.network.teardown()
    with closing(BridgeNetwork(world.db, BRIDGE, TABLE, "10.88.0.0/29")) as network:
        network.ensure()
        given = [network.allocate(letter * 64).ip for letter in "abcde"]
        assert given == [f"10.88.0.{n}" for n in range(2, 7)]
        with pytest.raises(Unavailable, match=r"no free address is left in 10\.88\.0\.0/29"):
            network.allocate("f" * 64)
        network.release("c" * 64)
        assert network.allocate("f" * 64).ip == "10.88.0.4"


def test_cost_per_endpoint(world: World) -> None:
    """allocate, connect, publish; unpublish, disconnect, release: 1 ms each way is the goal, 5 ms the alarm."""
    begin, end = [], []
    for number in range(30):
        container_id = f"{number:012x}" * 5
        with closing(Place()) as place:
            started = time.perf_counter()
            interface = world.network.allocate(container_id)
            world.network.connect(container_id, interface, place.fd)
            world.network.publish(container_id, interface.ip, [PortBinding("tcp", "", 20000 + number, 80)])
            begin.append(time.perf_counter() - started)
            started = time.perf_counter()
            world.network.unpublish(container_id)
            world.network.disconnect(container_id)
            world.network.release(container_id)
            end.append(time.perf_counter() - started)
    for name, times in (("begin", begin), ("end", end)):
        median = statistics.median(times) * 1000
        print(f"{name}: median {median:.2f} ms, worst {max(times) * 1000:.2f} ms")
        assert median < 5
