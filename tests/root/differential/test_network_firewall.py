"""What people are told about the host's firewall, and that our tables come back. dockerd overrides it silently."""

from __future__ import annotations

import time

import pytest

from tests.servers.hostagent import Daemon

pytestmark = pytest.mark.root

RULES = (
    "add table inet filter; add chain inet filter input { type filter hook input priority 0; }; "
    "add rule inet filter input tcp dport 8080 drop; "
    "add chain inet filter forward { type filter hook forward priority 0; policy drop; }"
)


def test_warnings(daemon: Daemon) -> None:
    engine = daemon.engine
    run = ("run", "--rm", "busybox", "true")
    assert engine.docker(*run[:2], "-p", "8080:80", *run[2:]).err == ""
    assert not any("firewall" in line for line in engine.ok("info").splitlines())
    try:
        engine.namespace.run(["nft", RULES])
        said = engine.docker(*run[:2], "-p", "8080:80", *run[2:])
        assert said.code == 0
        assert "WARNING: The host's firewall names port 8080/tcp (table inet filter, chain input)" in said.err
        assert "WARNING: The host's firewall drops what is forwarded" in said.err
        for quiet in (["-p", "127.0.0.1:8080:80"], ["--network", "none", "-p", "8080:80"], []):
            assert engine.docker(*run[:2], *quiet, *run[2:]).err == ""
        assert (
            "firewall drops what is forwarded (table inet filter, chain forward)" in engine.docker("info").err
        )
    finally:
        engine.namespace.run(["nft", "delete table inet filter"])


def test_a_flushed_table_is_back_in_a_moment(daemon: Daemon) -> None:
    engine = daemon.engine
    engine.ok("network", "create", "--ipv6", "six")
    engine.ok("run", "-d", "--network", "six", "-p", "8080:80", "busybox", "sleep", "600")

    def rules() -> list[str]:
        """Of our tables: others' are not ours to bring back."""
        tables = engine.namespace.run(["nft", "list", "tables"]).stdout.splitlines()
        ours = [line.split() for line in tables if " pm0" in line]
        text = "".join(engine.namespace.run(["nft", "list", *words]).stdout for words in ours)
        return sorted(text.splitlines())

    before = rules()
    assert any("table ip6 pm0-" in line for line in before)
    engine.namespace.run(["nft", "flush", "ruleset"])
    deadline = time.monotonic() + 10
    while (now := rules()) != before:
        assert time.monotonic() < deadline, set(before) ^ set(now)
        time.sleep(0.05)


def test_metadata_is_allowed_by_option(daemon: Daemon) -> None:
    """Traffic: tests/root/network/test_ipv6.py."""
    engine = daemon.engine
    closed = engine.ok("network", "create", "closed")
    opened = engine.ok("network", "create", "-o", "pymachine.network.metadata=true", "open")
    rules = {
        name: engine.namespace.run(["nft", "list", "table", "ip", f"pm0-{name[:12]}"]).stdout
        for name in (closed, opened)
    }
    assert "daddr 169.254.169.254 reject" in rules[closed]
    assert "169.254.169.254" not in rules[opened]
    assert engine.docker("network", "create", "-o", "pymachine.network.metadata=perhaps", "x").code == 1
