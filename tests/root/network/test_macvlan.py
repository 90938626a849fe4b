"""Macvlan networks: containers on the uplink's LAN, real traffic with a neighbour there; islands without a parent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from hostagent.errors import EngineError, Unavailable
from hostagent.network import ipam
from hostagent.network.ipam6 import Pool6
from hostagent.network.macvlan import MacvlanNetwork, MacvlanPlan, island
from tests.root.network.conftest import OUTSIDE, World
from tests.root.network.places import Container, Place, arrives, exchange

pytestmark = pytest.mark.root

ID = "a" * 64
LAN = MacvlanPlan(
    network_id=ID,
    pool=ipam.Pool(
        IPv4Network("198.51.100.0/24"),
        IPv4Address(OUTSIDE),
        IPv4Network("198.51.100.64/26"),
        {"host": "198.51.100.1"},
    ),
    pool6=Pool6(IPv6Network("2001:db8:1::/64"), IPv6Address("2001:db8:1::2")),
    parent="uplink0",
    mode="bridge",
)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def make(world: World, stack: ExitStack, plan: MacvlanPlan) -> MacvlanNetwork:
    network = stack.enter_context(closing(MacvlanNetwork(world.db, plan)))
    network.ensure()
    return network


def containers(stack: ExitStack, network: MacvlanNetwork) -> tuple[Container, Container]:
    first, second = (stack.enter_context(closing(Container(network, letter * 64))) for letter in "bc")
    return first, second


def test_on_the_lan(world: World, stack: ExitStack) -> None:
    world.outside.run("ip address add 2001:db8:1::2/64 dev eth0 nodad")
    network = make(world, stack, LAN)
    web, other = containers(stack, network)
    assert (web.ip, web.interface.cidr6) == ("198.51.100.64", "2001:db8:1::1/64")
    with web.server("tcp", 80) as server, web.server("udp", 53) as resolver:
        assert exchange(world.outside, server, web.ip, 80) == OUTSIDE
        assert exchange(other, server, web.ip, 80) == other.ip
        assert exchange(world.outside, resolver, web.ip, 53) == OUTSIDE
        # Macvlan's own rule: the parent and its children do not hear each other.
        assert not arrives(world.host, server, web.ip, 80)
    with world.outside.server("tcp", 7, "::") as echo:
        assert exchange(web, echo, "2001:db8:1::2", 7) == "2001:db8:1::1"
    assert web.host_interface == ""
    network.teardown()
    assert "uplink0" in world.host.run("ip link")
    assert not world.db.query("SELECT * FROM network_leases WHERE bridge = ?", (island(ID),))


def test_private_containers_do_not_hear_each_other(world: World, stack: ExitStack) -> None:
    network = make(world, stack, replace(LAN, mode="private"))
    web, other = containers(stack, network)
    with web.server("tcp", 80) as server:
        assert exchange(world.outside, server, web.ip, 80) == OUTSIDE
        assert not arrives(other, server, web.ip, 80)


def test_an_island(world: World, stack: ExitStack) -> None:
    plan = MacvlanPlan(
        ID, ipam.Pool(IPv4Network("10.60.0.0/24"), IPv4Address("10.60.0.1")), island(ID), "bridge"
    )
    network = make(world, stack, plan)
    web, other = containers(stack, network)
    with web.server("tcp", 80) as server:
        assert exchange(other, server, web.ip, 80) == other.ip
        world.host.run(f"ip link del {island(ID)}")
        network.reconcile({web.id})
        assert network.holders() == {web.id}
    assert island(ID) in world.host.run("ip link")
    network.teardown()
    assert ID[:12] not in world.host.run("ip link")


def test_a_smaller_mtu(world: World, stack: ExitStack) -> None:
    network = make(world, stack, replace(LAN, mtu=1300))
    web, _ = containers(stack, network)
    assert "mtu 1300" in web.run("ip link show eth0")


def test_a_parent_that_is_not_there_or_taken(world: World, stack: ExitStack) -> None:
    with closing(MacvlanNetwork(world.db, replace(LAN, parent="nope"))) as absent:
        with pytest.raises(Unavailable, match="the parent interface nope of the network is not there"):
            absent.ensure()
        absent.teardown()
    network = make(world, stack, LAN)
    world.host.run("ip link set uplink0 master pmtest0")
    place = stack.enter_context(closing(Place()))
    with pytest.raises(
        EngineError, match="cannot connect container bbbbbbbbbbbb to uplink0: it belongs to a"
    ):
        network.connect("b" * 64, network.allocate("b" * 64), place.fd)
