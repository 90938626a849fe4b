"""Published ports and the host's own firewall: real nft rules, a client outside, and what a person is told."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest

from hostagent.kernel.nft_events import Events
from hostagent.model.network import PortBinding
from hostagent.network.firewall import Firewall, Published
from hostagent.network.guard import Guard
from hostagent.network.tables import Tables
from tests.root.network.conftest import BRIDGE, HOST, OUTSIDE, TABLE, World
from tests.root.network.places import Place, arrives, exchange
from tests.tools import need

pytestmark = pytest.mark.root

WEB = Published("tcp", 8080, 80)


@pytest.fixture
def firewall(world: World) -> Iterator[Firewall]:
    with closing(Tables()) as tables, closing(Firewall(tables, TABLE)) as made:
        yield made


def load(place: Place, rules: str) -> None:
    """As a firewall's service does it: everything goes, then its own rules come."""
    with place.inside():
        subprocess.run(
            [need("nft", "nftables"), "-f", "-"], input=f"flush ruleset\n{rules}", text=True, check=True
        )


DENYING = """table inet filter {
	chain input { type filter hook input priority filter; policy accept; jump services; }
	chain services { tcp dport { 22, 8000-8090 } reject; udp dport 8080 drop; tcp dport 25 accept; }
	chain forward { type filter hook forward priority filter; policy drop; ct state established accept; jump user; }
	chain user { }
}"""
ALLOW = "add rule inet filter user tcp dport 80 accept"


def test_a_forward_drop_is_not_overridden(world: World, firewall: Firewall) -> None:
    web = world.container("a")
    world.network.publish(web.id, web.ip, [PortBinding("tcp", "", 8080, 80)])
    with web.server("tcp", 80) as server:
        assert exchange(world.outside, server, HOST, 8080) == OUTSIDE
        assert firewall.warnings([WEB], BRIDGE) == []
        assert firewall.general() == []
        for _ in range(2):  # loaded anew: still so
            load(world.host, DENYING)
            assert world.network.repair()
            assert not world.network.repair()
            assert not arrives(world.outside, server, HOST, 8080)
            assert exchange(world.host, server, HOST, 8080) == HOST
        denied, dropped = firewall.warnings([WEB], BRIDGE)
        assert "names port 8080/tcp (table inet filter, chain services)" in denied
        assert "-p 127.0.0.1:8080:80" in denied
        assert (
            "(table inet filter, chain forward): port 80/tcp of the container can be reached from this"
            in dropped
        )
        assert "ufw route allow proto tcp to any port 80" in dropped
        assert "drops what is forwarded (table inet filter, chain forward)" in firewall.general()[0]
        world.host.run(f"nft {ALLOW}")
        assert exchange(world.outside, server, HOST, 8080) == OUTSIDE
        assert len(firewall.warnings([WEB], BRIDGE)) == 1


def test_what_rules_name(world: World, firewall: Firewall) -> None:
    load(world.host, DENYING)
    warned = {
        (proto, port): any(
            f"names port {port}/{proto}" in text for text in firewall.warnings([asked], BRIDGE)
        )
        for proto, port in (
            ("tcp", 22),
            ("tcp", 8091),
            ("udp", 8080),
            ("udp", 22),
            ("tcp", 25),
            ("tcp", 8000),
        )
        for asked in [Published(proto, port, 1)]
    }
    assert [key for key, said in warned.items() if said] == [("tcp", 22), ("udp", 8080), ("tcp", 8000)]


def test_a_rule_for_the_bridge_opens_all_ports(world: World, firewall: Firewall) -> None:
    load(world.host, DENYING)
    world.host.run(f"nft add rule inet filter user oifname {BRIDGE} accept")
    assert firewall.warnings([Published("udp", 53, 53)], BRIDGE) == []
    assert firewall.general()


async def test_damage_is_repaired_at_once(world: World) -> None:
    web = world.container("a")
    world.network.publish(web.id, web.ip, [PortBinding("tcp", "", 8080, 80)])
    repaired = asyncio.Event()

    def repair() -> bool:
        done = world.network.repair()
        if done:
            repaired.set()
        return done

    with closing(Guard(TABLE, repair)), web.server("tcp", 80) as server:
        for damage in (
            "flush ruleset",
            f"delete table ip {TABLE}",
            f"flush chain ip {TABLE} published",
            f"delete element ip {TABLE} ports {{ tcp . 8080 }}",
        ):
            world.host.run(f"nft {damage}")
            await asyncio.wait_for(repaired.wait(), 5)
            repaired.clear()
            assert exchange(world.outside, server, HOST, 8080) == OUTSIDE, damage


def test_events_tell_whose_table_changed(world: World) -> None:
    with closing(Events()) as events:
        assert events.tables() == set()
        world.host.run("nft add table inet other")
        assert events.tables() == {"other"}
        world.host.run("nft add chain inet other mine")
        world.host.run("nft add rule inet other mine accept")
        assert events.tables() == {"other"}
        world.host.run("nft flush ruleset")
        assert events.tables() == {"other", TABLE}
