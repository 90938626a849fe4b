"""Containers on user-defined networks: where they are, whom they reach, by which names."""

from __future__ import annotations

import json

import pytest

from tests.root.differential.conftest import Same
from tests.servers.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]

ADDRESSES = "ip -o -4 addr | awk '{print $2, $4}' | sort; ip route"


def test_static_addresses_and_names(same: Same) -> None:
    same("network", "create", "--subnet", "10.77.0.0/24", "mine")
    same(
        *("run", "-d", "--name", "db", "--network", "mine", "--ip", "10.77.0.20", "--network-alias", "store"),
        *("--mac-address", "02:42:0a:4d:00:99", "--hostname", "dbhost", "busybox", "sleep", "600"),
    )
    same("run", "--rm", "--network", "mine", "--ip", "10.77.0.30", "busybox", "sh", "-c", ADDRESSES)
    for name in ("db", "store", "DB", "db.mine", "dbhost"):
        same("run", "--rm", "--network", "mine", "busybox", "sh", "-c", f"ping -c 1 -W 5 {name} | head -n 1")
    same("run", "--rm", "--network", "mine", "busybox", "nslookup", "10.77.0.20")
    same("exec", "db", "grep", "-E", "^(nameserver|search|options)", "/etc/resolv.conf")
    same("exec", "db", "grep", "10.77", "/etc/hosts")
    same("inspect", "-f", "{{json .NetworkSettings.Networks}}", "db")
    same("inspect", "-f", "{{.HostConfig.NetworkMode}} {{.NetworkSettings.IPAddress}} ", "db")
    same(
        "network",
        "inspect",
        "-f",
        "{{range .Containers}}{{.Name}} {{.MacAddress}} {{.IPv4Address}}{{end}}",
        "mine",
    )
    same("network", "rm", "mine")
    same("stop", "-t", "0", "db")
    same("network", "inspect", "-f", "{{json .Containers}}", "mine")
    same("start", "db")
    same("exec", "db", "sh", "-c", ADDRESSES)
    same("rm", "-f", "db")
    same("network", "rm", "mine")


@pytest.mark.parametrize(
    "options",
    [
        ["--network", "auto", "--ip", "10.99.0.1"],
        ["--network", "mine", "--ip", "10.99.0.1"],
        ["--network", "mine", "--ip", "nonsense"],
        ["--network", "mine", "--ip", "10.77.0.1"],
        ["--ip", "172.17.0.9"],
        ["--network-alias", "x"],
    ],
)
def test_addresses_that_cannot_be(same: Same, options: list[str]) -> None:
    same("network", "create", "--subnet", "10.77.0.0/24", "mine")
    same("network", "create", "auto")
    same("run", "--rm", *options, "busybox", "true")


def test_two_networks_at_once(same: Same) -> None:
    same("network", "create", "--subnet", "10.77.0.0/24", "beta")
    same("network", "create", "--subnet", "10.78.0.0/24", "alpha")
    same("network", "create", "--subnet", "10.79.0.0/24", "--internal", "aaa")
    same(
        *("run", "--name", "cee", "--network", "beta", "--network", "name=alpha,alias=x", "--network", "aaa"),
        *("busybox", "sh", "-c", ADDRESSES),
    )
    same("inspect", "-f", "{{.HostConfig.NetworkMode}}", "cee")


def test_nobody_else_gets_through(engine: Engine) -> None:
    engine.ok("network", "create", "--subnet", "10.77.0.0/24", "one")
    engine.ok("network", "create", "--subnet", "10.78.0.0/24", "two")
    engine.ok("network", "create", "--subnet", "10.79.0.0/24", "--internal", "closed")
    engine.ok("run", "-d", "--name", "aye", "--network", "one", "busybox", "sleep", "600")
    engine.ok("run", "-d", "--name", "bee", "--network", "two", "busybox", "sleep", "600")
    engine.ok("run", "-d", "--name", "cee", "--network", "closed", "busybox", "sleep", "600")
    address = engine.inspect("aye", "{{.NetworkSettings.Networks.one.IPAddress}}")
    assert engine.docker("exec", "bee", "ping", "-c", "1", "-W", "1", address).code != 0
    assert engine.docker("exec", "bee", "nslookup", "aye").code != 0
    assert engine.docker("exec", "cee", "ping", "-c", "1", "-W", "1", address).code != 0
    assert "default" not in engine.ok("exec", "cee", "ip", "route")
    assert engine.docker("exec", "cee", "nslookup", "aye").code != 0


def test_a_published_port(engine: Engine) -> None:
    engine.ok("network", "create", "mine")
    engine.ok(
        *("run", "-d", "--name", "web", "--network", "mine", "-p", "18080:80", "busybox"),
        *("sh", "-c", "mkdir /www; echo hello >/www/index.html; exec httpd -f -h /www"),
    )
    gateway = json.loads(engine.ok("network", "inspect", "-f", "{{json .IPAM.Config}}", "mine"))[0]["Gateway"]
    fetch = f"until wget -qO- http://{gateway}:18080/; do sleep 0.1; done"
    assert (
        engine.ok("run", "--rm", "--network", "mine", "busybox", "timeout", "20", "sh", "-c", fetch)
        == "hello"
    )
    assert engine.ok("run", "--rm", "busybox", "timeout", "20", "sh", "-c", fetch) == "hello"
    assert engine.ok("port", "web").startswith("80/tcp -> 0.0.0.0:18080")
