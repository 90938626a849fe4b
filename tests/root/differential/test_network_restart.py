"""Networks, names and ports outlive the daemon, and are repaired by the next one."""

from __future__ import annotations

import pytest

from tests.servers.hostagent import Daemon

pytestmark = [pytest.mark.root, pytest.mark.peer]


def test_networks_outlive_the_daemon(our_daemon: Daemon) -> None:
    engine = our_daemon.engine
    engine.ok("network", "create", "--subnet", "10.77.0.0/24", "mine")
    engine.ok("network", "create", "--subnet", "10.78.0.0/24", "other")
    for name in ("one", "two"):
        engine.ok("run", "-d", "--name", name, "--network", "mine", "busybox", "sleep", "600")
    engine.ok("network", "connect", "other", "two")
    our_daemon.kill()
    our_daemon.start()
    assert engine.ok("exec", "one", "ping", "-c", "1", "-W", "5", "two").startswith("PING two (10.77.0.3)")
    shown = "{{range .Containers}}{{.Name}} {{.IPv4Address}};{{end}}"
    assert engine.ok("network", "inspect", "-f", shown, "other") == "two 10.78.0.2/24;"
    engine.ok("network", "disconnect", "mine", "two")
    assert engine.docker("exec", "one", "ping", "-c", "1", "-W", "1", "two").code != 0
    assert "via 10.78.0.1" in engine.ok("exec", "two", "ip", "route")
    assert engine.docker("network", "rm", "other").code != 0
    engine.ok("rm", "-f", "one", "two")
    engine.ok("network", "rm", "mine", "other")
