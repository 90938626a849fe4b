"""IPv6 on user-defined networks: subnets, addresses, names, published ports."""

from __future__ import annotations

import json
import time

import pytest

from tests.root.differential.conftest import Same, long_after
from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon

pytestmark = [pytest.mark.root, pytest.mark.peer]

# Without names: dockerd never gives a number of an interface again.
ADDRESSES = (
    "{ ip -o addr show scope global | awk '{print $4}'; ip route; ip -6 route; }"
    " | grep -v ff00 | sed s/eth./eth/ | sort"
)
SIX = ("network", "create", "--ipv6", "--subnet", "10.77.0.0/24", "--subnet", "fd00:77::/64")
SHOWN = "{{.EnableIPv6}} {{.IPAM.Driver}} {{range .Containers}} {{.IPv4Address}} {{.IPv6Address}}{{end}}"
SERVE = ("sh", "-c", "echo page >/tmp/index.html; exec httpd -f -h /tmp")


def test_addresses_names_and_what_is_shown(both: tuple[Engine, Engine], same: Same) -> None:
    same(*SIX, "--gateway", "10.77.0.9", "--gateway", "fd00:77::9", "--aux-address", "x=fd00:77::3", "six")
    same("run", "-d", "--name", "db", "--network", "six", "--ip6", "fd00:77::ff", "busybox", "sleep", "600")
    same("network", "inspect", "-f", SHOWN, "six")
    # The client itself has the subnets in any order.
    theirs, ours = (
        json.loads(engine.ok("network", "inspect", "-f", "{{json .IPAM.Config}}", "six")) for engine in both
    )
    assert sorted(ours, key=str) == sorted(theirs, key=str)
    same("run", "-d", "--name", "web", "--network", "six", "--ip", "10.77.0.77", "busybox", "sleep", "600")
    for name in ("db", "web"):
        same("exec", name, "sh", "-c", ADDRESSES)
        same("exec", name, "grep", "77", "/etc/hosts")
        same("inspect", "-f", "{{json .NetworkSettings.Networks}}", name)
    for asked in ("db", "web.six", "fd00:77::ff", "fd00:77::1"):
        same("exec", "web", "sh", "-c", f"nslookup {asked} | grep -v Server | sort")
    same("exec", "web", "sh", "-c", "nslookup -type=aaaa db | tail -n 2; ping -6 -c 1 -W 5 db | head -n 1")
    same("network", "rm", "six")
    same("rm", "-f", "db", "web")
    same("network", "rm", "six")


def test_ranges(same: Same) -> None:
    same(
        *("network", "create", "--ipv6", "--subnet", "10.77.0.0/24", "--subnet", "fd00:77::/64"),
        *("--ip-range", "fd00:77::1:0/112", "--aux-address", "x=fd00:77::1:1", "six"),
    )
    same("run", "-d", "--name", "one", "--network", "six", "busybox", "sleep", "600")
    same("run", "-d", "--name", "two", "--network", "six", "busybox", "sleep", "600")
    same("exec", "two", "sh", "-c", ADDRESSES)
    same("exec", "one", "sh", "-c", ADDRESSES)


def test_a_running_container_joins_and_leaves(same: Same) -> None:
    same("network", "create", "--subnet", "10.78.0.0/24", "four")
    same(*SIX, "six")
    same("network", "create", "--ipv6", "--subnet", "10.79.0.0/24", "--subnet", "fd00:79::/64", "aaa")
    same("run", "-d", "--name", "box", "--network", "six", "busybox", "sleep", "600")
    for arguments in (
        ("connect", "--ip6", "fd00:79::5", "aaa", "box"),
        ("disconnect", "six", "box"),
        ("connect", "four", "box"),
        ("disconnect", "aaa", "box"),
        ("connect", "six", "box"),
    ):
        same("network", *arguments)
        same("exec", "box", "sh", "-c", ADDRESSES)
    same("network", "disconnect", "four", "box")
    same("restart", "-t", "0", "box")
    same("exec", "box", "sh", "-c", ADDRESSES)


@pytest.mark.parametrize(
    "arguments",
    long_after(
        8,
        [
            ["--subnet", "fd00:78::1/64"],
            ["--subnet", "fd00:77::/80"],
            ["--subnet", "fd00:78::/64", "--subnet", "fd00:79::/64"],
            ["--subnet", "fd00:78::/64", "--gateway", "fd00:79::9"],
            ["--subnet", "fd00:78::/64", "--gateway", "nonsense"],
            ["--subnet", "fd00:78::/64", "--ip-range", "fd00:79::/80"],
            ["--subnet", "fd00:78::/64", "--ip-range", "fd00:78::1/80"],
            ["--subnet", "fd00:78::/64", "--aux-address", "a=fd00:79::1"],
            ["--subnet", "fd00:78::/64", "--ip-range", "fd00:78::/48"],
            ["--subnet", "fd00:78::/64", "--ip-range", "10.0.0.0/8"],
            ["--subnet", "fd00::zz/64"],
        ],
    ),
)
def test_subnets_that_cannot_be(same: Same, arguments: list[str]) -> None:
    same(*SIX, "taken")
    same("network", "create", "--ipv6", *arguments, "x")
    same("network", "ls", "--format", "{{.Name}}")


@pytest.mark.parametrize("address", ["fd00:78::1", "nonsense", "fd00:77::1", "10.77.0.5", "::"])
def test_addresses_that_cannot_be(same: Same, address: str) -> None:
    same(*SIX, "six")
    same("network", "create", "four")
    for network in ("six", "four", "bridge"):
        same("run", "--rm", "--network", network, "--ip6", address, "busybox", "true")


def fetch(engine: Engine, address: str) -> str:
    """Patient until the server listens."""
    deadline = time.monotonic() + 10
    while not (page := engine.namespace.run(["sh", "-c", f"curl -sg -m 5 http://{address}/ || true"]).stdout):
        assert time.monotonic() < deadline, f"nothing at {address}"
    return page


def test_published_ports(both: tuple[Engine, Engine], same: Same) -> None:
    same(*SIX, "six")
    same(
        *("run", "-d", "--name", "web", "--network", "six", "-p", "8080:80", "-p", "[::1]:8081:80"),
        *("-p", "0.0.0.0:8082:80", "-p", "[::]:8083:80", "-p", "127.0.0.1:8084:80", "-p", "8090-8092:81"),
        *("busybox", *SERVE),
    )
    same("run", "-d", "--name", "four", "-p", "8085:80", "-p", "[::1]:8086:80", "busybox", *SERVE)
    for name in ("web", "four"):
        same("port", name)
    same("ps", "--format", "{{.Names}} {{.Ports}}")
    for engine in both:
        for address in (
            *("[::1]:8080", "127.0.0.1:8080", "[::1]:8081", "127.0.0.1:8082", "[::1]:8083", "127.0.0.1:8084"),
            *("[::1]:8085", "127.0.0.1:8085", "[::1]:8086"),
        ):
            assert fetch(engine, address) == "page\n", address
    for taken in ("8080:80", "[::]:8083:80", "[::1]:8081:80", "[::1]:8080:80"):
        for engine in both:
            done = engine.docker("run", "--rm", "--network", "six", "-p", taken, "busybox", "true")
            assert done.code == 125
            assert "already" in done.err
    same("stop", "-t", "0", "web", "four")
    same("run", "--rm", "-p", "8080:80", "-p", "[::1]:8081:80", "-p", "8085:80", "busybox", "true")


def test_a_random_port_is_one(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "web", "-p", "80", "busybox", *SERVE)
    ports = json.loads(engine.inspect("web", '{{json (index .NetworkSettings.Ports "80/tcp")}}'))
    assert [port["HostIp"] for port in ports] == ["0.0.0.0", "::"]
    for port, address in zip(ports, ("127.0.0.1", "[::1]"), strict=True):
        assert fetch(engine, f"{address}:{port['HostPort']}") == "page\n"


def test_a_subnet_by_chance(daemon: Daemon) -> None:
    """dockerd 26.1 wants one; dockerd 27 chooses, as ours does."""
    our_engine = daemon.engine
    our_engine.ok("network", "create", "--ipv6", "six")
    config = json.loads(our_engine.ok("network", "inspect", "-f", "{{json .IPAM.Config}}", "six"))
    assert [each["Subnet"].split(":")[0][:2] for each in config[1:]] == ["fd"]
    seen = our_engine.ok("run", "--rm", "--network", "six", "busybox", "sh", "-c", ADDRESSES)
    assert f"default via {config[1]['Gateway']} dev eth" in seen
