"""The host goes down without warning and comes up again: what dockerd does then (its daemon.restore), we do."""

from __future__ import annotations

import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.cgroups import remove_cgroup
from tests.servers.hostagent import Daemon, hostagent

BOOT_ID = "/proc/sys/kernel/random/boot_id"


@pytest.fixture
def daemon(docker_cli: Path, busybox_tar: Path) -> Iterator[Daemon]:
    with hostagent(docker_cli) as made:
        made.engine.ok("load", "-i", str(busybox_tar))
        yield made
        made.ensure()
        made.engine.clean()
        assert not made.residue()


def reboot(daemon: Daemon) -> None:
    """All that a power cut takes: processes, /run, cgroups, interfaces, rules. Another boot has another ID."""
    namespace = daemon.engine.namespace
    daemon.kill()
    remove_cgroup(daemon.parent)  # with every process in it: shims and containers
    shutil.rmtree(daemon.shims.parent)
    namespace.run(["sh", "-c", "ip link delete pm0; nft flush ruleset"])
    boot = daemon.containers.parent.parent / "boot_id"
    boot.write_text(f"{uuid.uuid4()}\n")
    namespace.run(["mount", "--bind", str(boot), BOOT_ID])
    daemon.start()


def test_policies_and_places(daemon: Daemon) -> None:
    engine = daemon.engine
    run = ("run", "-d", "--name")
    sleep = ("busybox", "sleep", "1000")
    for policy in ("always", "unless-stopped", "on-failure"):
        engine.ok(*run, f"{policy}-runs", "--restart", policy, *sleep)
        engine.ok(*run, f"{policy}-stopped", "--restart", policy, *sleep)
        engine.ok("stop", "-t", "0", f"{policy}-stopped")
    engine.ok(*run, "on-failure-done", "--restart", "on-failure", "busybox", "true")
    engine.ok(*run, "no-runs", *sleep)
    engine.ok(*run, "removed", "--rm", *sleep)
    engine.ok("create", "--restart", "always", "--name", "created", *sleep)
    engine.ok(*run, "web", "--restart", "always", "-p", "8126:80", "busybox", "httpd", "-f", "-h", "/etc")
    engine.wait_for("on-failure-done", "{{.State.Status}}", "exited")
    reboot(daemon)
    for name in (
        "always-runs",
        "always-stopped",
        "unless-stopped-runs",
        "on-failure-runs",
        "on-failure-stopped",
        "web",
    ):
        engine.wait_for(name, "{{.State.Status}} {{.RestartCount}}", "running 0")
        assert engine.ok("exec", name, "echo", "hi") == "hi"
    seen = "{{.State.Status}} {{.State.ExitCode}}"
    assert engine.inspect("unless-stopped-stopped", seen) == "exited 137"
    assert engine.inspect("on-failure-done", seen) == "exited 0"
    assert engine.inspect("no-runs", seen) == "exited 255"
    assert engine.inspect("created", seen) == "created 0"
    assert not engine.ok("ps", "-aq", "--filter", "name=removed")
    address = engine.inspect("web", "{{.NetworkSettings.IPAddress}}")
    for place in (f"{address}:80", "127.0.0.1:8126"):
        assert "root:" in engine.namespace.run(["busybox", "wget", "-qO-", f"http://{place}/passwd"]).stdout
    engine.ok("start", "no-runs")
    assert engine.inspect("no-runs", seen) == "running 0"


def test_stopped_orderly_by_the_host(daemon: Daemon) -> None:
    """The containers' service stops them when no daemon is left; the policy goes by their codes at the next boot."""
    engine = daemon.engine
    trap = "trap 'exit 0' TERM; while true; do sleep 0.1; done"
    for policy in ("unless-stopped", "on-failure", "no"):
        engine.ok("run", "-d", "--name", policy, "--restart", policy, "busybox", "sh", "-c", trap)
    daemon.stop()
    command = [sys.executable, "-m", "hostagent.daemon.holder", "stop", str(daemon.shims.parent)]
    subprocess.run(engine.namespace.command(command), check=True, timeout=30, env=daemon.environment)
    daemon.start()
    engine.wait_for("unless-stopped", "{{.State.Status}}", "running")
    assert engine.inspect("on-failure", "{{.State.Status}} {{.State.ExitCode}}") == "exited 0"
    assert engine.inspect("no", "{{.State.Status}} {{.State.ExitCode}}") == "exited 0"
