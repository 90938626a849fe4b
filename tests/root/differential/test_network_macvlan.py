"""Macvlan networks on the host's uplink, beside dockerd's; ipvlan is refused."""

from __future__ import annotations

import pytest

from tests.root.differential.conftest import Same
from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon

pytestmark = [pytest.mark.root, pytest.mark.peer]

LAN = ("network", "create", "-d", "macvlan", "-o", "parent=eth0", "--subnet", "198.51.100.0/24")
RANGE = ("--gateway", "198.51.100.1", "--ip-range", "198.51.100.64/26")
ADDRESSES = (
    "ip -o addr show scope global | awk '{print $2, $4}' | sort; ip route; cat /sys/class/net/eth0/address"
)
SHOWN = "{{.Driver}} {{.EnableIPv6}} {{.Internal}} {{json .Options}} {{len .IPAM.Config}}"


def test_on_the_uplink(same: Same) -> None:
    same(*LAN, *RANGE, "-o", "macvlan_mode=bridge", "--ipv6", "--subnet", "2001:db8:1::/64", "lan")
    same("network", "inspect", "-f", SHOWN, "lan")
    same("network", "ls", "--filter", "driver=macvlan", "--format", "{{.Name}} {{.Driver}}")
    same(
        *("run", "-d", "--name", "web", "--network", "lan", "--ip", "198.51.100.99", "-p", "80:80"),
        *("--mac-address", "02:42:00:00:00:77", "busybox", "sleep", "600"),
    )
    same("exec", "web", "sh", "-c", ADDRESSES)
    same("exec", "web", "sh", "-c", "ping -c 1 -W 5 -s 8000 198.51.100.1 | grep received")
    same("inspect", "-f", "{{json .NetworkSettings.Networks}} {{json .NetworkSettings.Ports}}", "web")
    same("port", "web")
    same("run", "--rm", "--network", "lan", "busybox", "sh", "-c", "ping -c 1 -W 5 web | head -n 1")
    same("network", "create", "--subnet", "10.77.0.0/24", "aaa")
    same("network", "connect", "aaa", "web")
    same("port", "web")
    same("exec", "web", "sh", "-c", ADDRESSES)
    same("network", "disconnect", "lan", "web")
    same("exec", "web", "sh", "-c", "ip route")
    same("network", "rm", "lan")


def test_internal(same: Same) -> None:
    same(*LAN, "--internal", "closed")
    same("run", "--rm", "--network", "closed", "--name", "box", "busybox", "sh", "-c", ADDRESSES)
    same("run", "-d", "--network", "closed", "--name", "box", "busybox", "sleep", "600")
    same("inspect", "-f", "{{json .NetworkSettings.Networks}}", "box")


@pytest.mark.parametrize(
    "options",
    [["parent=lo"], ["parent=eth0"], ["parent=eth0", "macvlan_mode=odd"]],
)
def test_networks_that_cannot_be(same: Same, options: list[str]) -> None:
    same(*LAN, "taken")
    same("network", "create", "-d", "macvlan", *(f"-o={option}" for option in options), "x")
    same("network", "ls", "--format", "{{.Name}}")


def test_what_this_engine_refuses(daemon: Daemon) -> None:
    create = ("network", "create", "-d")
    engine = daemon.engine
    for arguments, text in (
        (["ipvlan", "-o", "parent=eth0"], "the network driver ipvlan is not built in this engine"),
        (["macvlan", "-o", "parent=nope"], "the host has no such interface"),
        (["macvlan", "-o", "parent=eth0.50"], "ip link add link eth0 name eth0.50 type vlan id 50"),
        (["macvlan", "-o", "com.docker.network.bridge.name=x"], "is not built in this engine: leave it out"),
    ):
        done = engine.docker(*create, *arguments, "x")
        assert done.code == 1
        assert text in done.err
    assert engine.ok("network", "ls", "--filter", "type=custom", "-q") == ""


def test_an_island(daemon: Daemon) -> None:
    """dockerd wants the kernel's dummy device for it; ours does not."""
    engine: Engine = daemon.engine
    engine.ok("network", "create", "-d", "macvlan", "isle")
    engine.ok("run", "-d", "--name", "web", "--network", "isle", "busybox", "sleep", "600")
    ping = ("run", "--rm", "--network", "isle", "busybox", "ping", "-c", "1", "-W", "5", "-q", "web")
    engine.ok(*ping)
    daemon.kill()
    daemon.start()
    engine.ok(*ping)
    engine.ok("rm", "-f", "web")
    engine.ok("network", "rm", "isle")


def test_link_local_addresses(same: Same) -> None:
    addresses = "ip -o -4 addr show eth0 | awk '{print $4}'"
    ask = ("run", "--rm", "--link-local-ip")
    same("network", "create", "--subnet", "10.77.0.0/24", "mine")
    same(*ask, "169.254.5.5", "--network", "mine", "busybox", "sh", "-c", addresses)
    same(*ask, "169.254.5.5", "busybox", "sh", "-c", addresses)
    same(*ask, "10.5.5.5", "--network", "mine", "busybox", "true")
    same(*ask, "nonsense", "--network", "mine", "busybox", "true")
    same("create", "--name", "box", "--link-local-ip", "fe80::5", "--network", "mine", "busybox", "true")
    same("inspect", "-f", "{{json .NetworkSettings.Networks.mine.IPAMConfig}}", "box")
