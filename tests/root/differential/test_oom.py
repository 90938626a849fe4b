"""Out of memory: who is killed, what is told, and when."""

from __future__ import annotations

import time

import pytest

from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon

pytestmark = [pytest.mark.root, pytest.mark.peer]

LIMITS = ("-m", "16m", "--memory-swap", "16m")
EAT = "tail /dev/zero"
STATE = "{{.State.OOMKilled}} {{.State.ExitCode}}"


def oom_events(engine: Engine, since: str) -> int:
    after = engine.ok("info", "--format", "{{.SystemTime}}")
    told = engine.ok(
        "events", "--since", since, "--until", after, "--filter", "event=oom", "--format", "{{.Action}}"
    )
    return len(told.splitlines())


def wait_for_oom(engine: Engine, since: str, count: int = 1) -> None:
    deadline = time.monotonic() + 20
    while oom_events(engine, since) < count:
        assert time.monotonic() < deadline, "no event tells of it"
        time.sleep(0.1)


def test_the_first_process(engine: Engine) -> None:
    since = engine.ok("info", "--format", "{{.SystemTime}}")
    assert engine.docker("run", "--name", "box", *LIMITS, "busybox", *EAT.split()).code == 137
    engine.wait_for("box", STATE, "true 137")
    wait_for_oom(engine, since)


def test_a_child_and_the_rest_lives_on(daemon: Daemon) -> None:
    """It is told at once, not at the end, and is still known after it. dockerd tells of it too, seconds later or never:
    containerd asks v1 before the kernel has counted."""
    engine = daemon.engine
    since = engine.ok("info", "--format", "{{.SystemTime}}")
    script = f"{EAT}; echo lives; while [ ! -e /end ]; do sleep 0.05; done; exit 0"
    engine.ok("run", "-d", "--name", "box", *LIMITS, "busybox", "sh", "-c", script)
    engine.wait_for_log("box", "lives")
    wait_for_oom(engine, since)
    engine.wait_for("box", "{{.State.OOMKilled}} {{.State.Running}}", "true true")
    engine.ok("exec", "box", "touch", "/end")
    assert engine.ok("wait", "box") == "0"
    engine.wait_for("box", STATE, "true 0")


def test_an_exec(daemon: Daemon) -> None:
    engine = daemon.engine
    since = engine.ok("info", "--format", "{{.SystemTime}}")
    engine.ok("run", "-d", "--name", "box", *LIMITS, "busybox", "sleep", "600")
    assert engine.docker("exec", "box", *EAT.split()).code == 137
    wait_for_oom(engine, since)
    engine.wait_for("box", "{{.State.OOMKilled}} {{.State.Running}}", "true true")


def test_with_memory_enough(engine: Engine) -> None:
    engine.ok("run", "--name", "box", *LIMITS, "busybox", "true")
    engine.ok("run", "-d", "--name", "killed", *LIMITS, "busybox", "sleep", "600")
    engine.ok("kill", "killed")
    assert engine.inspect("box", STATE) == "false 0"
    assert engine.inspect("killed", STATE) == "false 137"


def test_each_time_and_over_a_daemon(daemon: Daemon) -> None:
    """Again is told again; what was told before the daemon went is not; what happened meanwhile is."""
    engine = daemon.engine
    since = engine.ok("info", "--format", "{{.SystemTime}}")
    script = f"while :; do while [ ! -e /eat ]; do sleep 0.05; done; rm /eat; {EAT}; done"
    engine.ok("run", "-d", "--name", "box", *LIMITS, "busybox", "sh", "-c", script)
    for count in (1, 2):
        engine.ok("exec", "box", "touch", "/eat")
        wait_for_oom(engine, since, count)
    daemon.kill()
    daemon.start()
    since = engine.ok("info", "--format", "{{.SystemTime}}")
    assert engine.inspect("box", "{{.State.OOMKilled}}") == "true"
    engine.ok("exec", "box", "touch", "/eat")
    wait_for_oom(engine, since)
    assert oom_events(engine, since) == 1
    engine.ok("restart", "-t", "0", "box")
    assert engine.inspect("box", "{{.State.OOMKilled}}") == "false"
