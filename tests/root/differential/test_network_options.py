"""Options of bridge networks and of containers' endpoints."""

from __future__ import annotations

import json
import time

import pytest

from tests.root.differential.conftest import Same
from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon

pytestmark = [pytest.mark.root, pytest.mark.peer]

BRIDGE = "com.docker.network.bridge."
SYSCTLS = "com.docker.network.endpoint.sysctls"


def test_bridge_options(both: tuple[Engine, Engine], same: Same) -> None:
    same(
        *("network", "create", "--subnet", "10.77.0.0/24", "-o", f"{BRIDGE}enable_icc=false"),
        *("-o", f"{BRIDGE}host_binding_ipv4=127.0.0.1", "-o", f"{BRIDGE}name=odd.br", "-o", "own=thing"),
        *(
            "-o",
            "com.docker.network.driver.mtu=1380",
            "-o",
            "com.docker.network.container_iface_prefix=vif",
            "n",
        ),
    )
    same("network", "inspect", "-f", "{{json .Options}}", "n")
    same(
        "run",
        "-d",
        "--name",
        "web",
        "--network",
        "n",
        "-p",
        "8080:80",
        "-p",
        "0.0.0.0:8081:80",
        "busybox",
        "top",
    )
    same("port", "web")
    same(
        "exec",
        "web",
        "sh",
        "-c",
        "ip -o -4 addr show vif0 | awk '{print $2, $4}'; cat /sys/class/net/vif0/mtu",
    )
    same("run", "--rm", "--network", "n", "busybox", "sh", "-c", "ping -c 1 -W 1 web | grep received")
    for engine in both:
        assert "inet 10.77.0.1/24" in engine.namespace.run(["ip", "-4", "addr", "show", "odd.br"]).stdout
    same("network", "create", "-o", f"{BRIDGE}name=eth0", "x")
    same("network", "create", "-o", f"{BRIDGE}enable_icc=perhaps", "x")
    same("network", "create", "-o", f"{BRIDGE}host_binding_ipv4=nonsense", "x")
    same("rm", "-f", "web")
    same("network", "rm", "n")
    for engine in both:
        assert "odd.br" not in engine.namespace.run(["ip", "link"]).stdout


def test_a_bridge_that_is_there_already(both: tuple[Engine, Engine], same: Same) -> None:
    """Somebody else on it is the gateway; it stays when the network goes."""
    for engine in both:
        engine.namespace.run(["ip", "link", "add", "lan0", "type", "bridge"])
    create = ("network", "create", "--subnet", "10.77.0.0/24", "-o", f"{BRIDGE}name=lan0")
    try:
        same(*create, "-o", f"{BRIDGE}inhibit_ipv4=true", "--gateway", "10.77.0.9", "n")
        same(
            "run",
            "--rm",
            "--network",
            "n",
            "busybox",
            "sh",
            "-c",
            "ip -o -4 addr | awk '{print $4}'; ip route",
        )
        for engine in both:
            assert "inet " not in engine.namespace.run(["ip", "-4", "addr", "show", "lan0"]).stdout
        same("network", "rm", "n")
        same(*create, "n")
        for engine in both:
            assert "inet 10.77.0.1/24" in engine.namespace.run(["ip", "-4", "addr", "show", "lan0"]).stdout
        same("network", "rm", "n")
        for engine in both:
            assert "lan0" in engine.namespace.run(["ip", "link"]).stdout
    finally:
        for engine in both:
            engine.namespace.run(["ip", "link", "del", "lan0"])


def test_sysctls_of_an_endpoint(daemon: Daemon) -> None:
    """As dockerd 28 has them; 26.1 ignores the option."""
    engine = daemon.engine
    engine.ok("network", "create", "one")
    engine.ok("network", "create", "two")
    option = f"driver-opt={SYSCTLS}=net.ipv4.conf.IFNAME.log_martians=1"
    read = ("sh", "-c", "cd /proc/sys/net/ipv4/conf; grep . eth*/log_martians")
    engine.ok(
        *(
            "run",
            "-d",
            "--name",
            "box",
            "--network",
            f"name=one,{option}",
            "--network",
            "two",
            "busybox",
            "top",
        )
    )
    assert engine.ok("exec", "box", *read).split() == ["eth0/log_martians:1", "eth1/log_martians:0"]
    engine.ok("network", "disconnect", "two", "box")
    engine.ok("network", "connect", "--driver-opt", option.removeprefix("driver-opt="), "two", "box")
    assert engine.ok("exec", "box", *read).split() == ["eth0/log_martians:1", "eth1/log_martians:1"]
    for wrong in (
        "kernel.IFNAME=1",
        "net.ipv4.ip_forward=1",
        "net.ipv4.conf.IFNAME.x",
        "net.ipv4./../IFNAME.x=1",
    ):
        done = engine.docker(
            "run", "--rm", "--network", f"name=one,driver-opt={SYSCTLS}={wrong}", "busybox", "true"
        )
        assert done.code == 125
        assert "is not as net.ipv4.conf.IFNAME.log_martians=1" in done.err
    # What fails half-way is undone, inside too.
    engine.ok("network", "create", "three")
    option = f"{SYSCTLS}=net.ipv4.conf.IFNAME.nope=1"
    done = engine.docker("network", "connect", "--driver-opt", option, "three", "box")
    assert (done.code, "No such file" in done.err) == (1, True)
    assert "eth2" not in engine.ok("exec", "box", "ip", "link")
    engine.ok("network", "connect", "three", "box")
    assert "eth2" in engine.ok("exec", "box", "ip", "link")
    assert engine.ok("exec", "box", "ip", "route").startswith("default via")


@pytest.mark.long
def test_two_hundred_containers_come_and_go(daemon: Daemon) -> None:
    """No interface, rule, lease or name is left."""
    engine, count = daemon.engine, 200

    def seen() -> tuple[list[str], list[str]]:
        links = engine.namespace.run(["ip", "-o", "link"]).stdout.splitlines()
        rules = engine.namespace.run(["nft", "list", "ruleset"]).stdout.splitlines()
        return sorted(line.split(": ")[1] for line in links), sorted(rules)

    engine.ok("network", "create", "--ipv6", "--subnet", "10.77.0.0/16", "--subnet", "fd00:77::/64", "many")
    before = seen()
    names = [f"box{number}" for number in range(count)]
    for number, name in enumerate(names):
        engine.ok("run", "-d", "--name", name, "-p", f"{20000 + number}:80", "busybox", "sleep", "900")
        engine.ok("network", "connect", "many", name)
    assert len(json.loads(engine.ok("network", "inspect", "-f", "{{json .Containers}}", "many"))) == count
    assert engine.ok("exec", names[-1], "ping", "-c", "1", "-W", "5", "-q", names[0])
    for name in names:
        engine.ok("network", "disconnect", "many", name)
    assert engine.docker("exec", names[-1], "nslookup", names[0]).code != 0
    engine.ok(
        "run", "--rm", "--network", "many", "--ip", "10.77.0.2", "--ip6", "fd00:77::2", "busybox", "true"
    )
    engine.ok("rm", "-f", *names, timeout=120)
    deadline = time.monotonic() + 30
    while seen() != before:
        assert time.monotonic() < deadline, seen()
        time.sleep(0.2)
