"""`docker network connect` and `disconnect`, of containers that run and that do not."""

from __future__ import annotations

import pytest

from tests.root.differential.conftest import Same
from tests.servers.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]

ADDRESSES = "ip -o -4 addr | awk '{print $2, $4}' | sort; ip route | sort"
HOSTS = "grep -E '^10[.]7' /etc/hosts"
# dockerd leaves the line in /etc/hosts when a container leaves a network; ours takes it out.
SHOWN = (
    "{{range $n, $e := .NetworkSettings.Networks}}"
    "{{$n}} {{$e.IPAddress}} {{$e.Gateway}} {{json $e.Aliases}};{{end}}"
)


def _networks(same: Same) -> None:
    same("network", "create", "--subnet", "10.77.0.0/24", "beta")
    same("network", "create", "--subnet", "10.78.0.0/24", "alpha")
    same("network", "create", "--subnet", "10.79.0.0/24", "--internal", "closed")


def test_a_running_container_moves(same: Same) -> None:
    _networks(same)
    same("run", "-d", "--name", "box", "--hostname", "box", "--network", "beta", "busybox", "sleep", "600")
    same("run", "-d", "--name", "peer", "--network", "alpha", "busybox", "sleep", "600")
    same("network", "connect", "--ip", "10.78.0.50", "--alias", "also", "alpha", "box")
    same("exec", "box", "sh", "-c", ADDRESSES)
    same("inspect", "-f", SHOWN, "box")
    same("exec", "peer", "sh", "-c", "ping -c 1 -W 5 also | head -n 1")
    same("exec", "box", "sh", "-c", "ping -c 1 -W 5 peer | head -n 1")
    same("network", "connect", "closed", "box")
    same("exec", "box", "sh", "-c", ADDRESSES)
    same("exec", "box", "sh", "-c", HOSTS)
    same("network", "disconnect", "alpha", "box")
    same("exec", "box", "sh", "-c", ADDRESSES)
    same("network", "disconnect", "beta", "box")
    same("exec", "box", "sh", "-c", ADDRESSES)
    same("network", "disconnect", "closed", "box")
    same("exec", "box", "sh", "-c", ADDRESSES)
    same("inspect", "-f", SHOWN, "box")
    same("network", "connect", "alpha", "box")
    for _ in range(4):
        same("exec", "box", "sh", "-c", "ping -c 1 -W 5 peer | head -n 1")
    same("network", "disconnect", "alpha", "box")
    same("network", "connect", "beta", "box")
    same("restart", "-t", "0", "box")
    same("exec", "box", "sh", "-c", ADDRESSES)


def test_a_stopped_container_moves(same: Same) -> None:
    _networks(same)
    same(
        "create", "--name", "box", "--hostname", "box", "--network", "beta", "busybox", "sh", "-c", ADDRESSES
    )
    same("network", "connect", "alpha", "box")
    same("network", "disconnect", "beta", "box")
    same("inspect", "-f", SHOWN, "box")
    same("start", "-a", "box")
    same("network", "disconnect", "beta", "box")


def test_what_cannot_be_connected(same: Same) -> None:
    _networks(same)
    same("run", "-d", "--name", "box", "--network", "beta", "busybox", "sleep", "600")
    same("run", "-d", "--name", "bare", "--network", "none", "busybox", "sleep", "600")
    same("run", "-d", "--name", "hosted", "--network", "host", "busybox", "sleep", "600")
    same("run", "-d", "--name", "guest", "--network", "container:box", "busybox", "sleep", "600")
    for arguments in (
        ("connect", "beta", "box"),
        ("connect", "ghost", "box"),
        ("connect", "beta", "ghost"),
        ("connect", "--ip", "10.99.0.1", "alpha", "box"),
        ("connect", "beta", "bare"),
        ("connect", "beta", "hosted"),
        ("connect", "beta", "guest"),
        ("connect", "host", "box"),
        ("disconnect", "alpha", "box"),
        ("disconnect", "ghost", "box"),
        ("disconnect", "beta", "ghost"),
        ("disconnect", "host", "hosted"),
    ):
        same("network", *arguments)
    same("inspect", "-f", SHOWN, "box")


def test_from_the_default_bridge_to_names(engine: Engine) -> None:
    engine.ok("network", "create", "mine")
    engine.ok("run", "-d", "--name", "named", "--network", "mine", "busybox", "sleep", "600")
    engine.ok("run", "-d", "--name", "box", "-p", "18081:80", "busybox", "sleep", "600")
    engine.ok("network", "connect", "mine", "box")
    assert "nameserver 127.0.0.11" in engine.ok("exec", "box", "cat", "/etc/resolv.conf")
    assert engine.ok("exec", "box", "ping", "-c", "1", "-W", "5", "named").startswith("PING named")
    engine.ok("rename", "named", "renamed")
    assert engine.ok("exec", "box", "ping", "-c", "1", "-W", "5", "renamed").startswith("PING renamed")
    engine.ok("network", "disconnect", "bridge", "box")
    assert engine.ok("port", "box").startswith("80/tcp -> 0.0.0.0:18081")
    engine.ok("network", "disconnect", "mine", "box")
    assert engine.docker("exec", "box", "ping", "-c", "1", "-W", "1", "renamed").code != 0
