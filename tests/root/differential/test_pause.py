"""`docker pause` and `unpause`, and what else can be done to a container that stands still."""

from __future__ import annotations

import time

import pytest

from tests.root.differential.conftest import Same
from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon

pytestmark = [pytest.mark.root, pytest.mark.peer]

STATE = "{{.State.Status}} {{.State.Running}} {{.State.Paused}}"


def test_words(same: Same) -> None:
    same("run", "-d", "--name", "box", "busybox", "sleep", "600")
    same("unpause", "box")
    same("pause", "box")
    same("inspect", "-f", STATE, "box")
    same("ps", "--format", "{{.Names}} {{.State}}", "--filter", "status=paused")
    same("ps", "-q", "--filter", "status=running")
    same("info", "-f", "{{.Containers}} {{.ContainersRunning}} {{.ContainersPaused}} {{.ContainersStopped}}")
    same("pause", "box")
    same("start", "box")
    same("rm", "box")
    same("exec", "box", "true")
    same("attach", "box")
    same("update", "-c", "100", "box")
    same("inspect", "-f", STATE, "box")
    same("unpause", "box")
    same("inspect", "-f", STATE, "box")
    same("exec", "box", "echo", "awake")
    same("create", "--name", "lying", "busybox", "true")
    same("pause", "lying")
    same("unpause", "lying")


@pytest.mark.parametrize(
    "command",
    [
        ("stop", "-t", "20", "box"),
        ("kill", "box"),
        ("kill", "-s", "TERM", "box"),
        ("restart", "-t", "20", "box"),
        ("rm", "-f", "box"),
    ],
)
def test_the_end_of_a_paused_container(same: Same, command: tuple[str, ...]) -> None:
    script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    same("run", "-d", "--name", "box", "busybox", "sh", "-c", script)
    same("pause", "box")
    same(*command)
    if command[0] in ("stop", "kill"):
        same("wait", "box")
        same("inspect", "-f", STATE + " {{.State.ExitCode}}", "box")
    same("ps", "-a", "--format", "{{.Names}} {{.State}}")


def test_a_signal_that_does_not_end_it_waits(same: Same) -> None:
    """With a stop signal of its own, other signals do not wake it."""
    script = "trap 'echo heard' USR1; while :; do sleep 0.05; done"
    same("run", "-d", "--name", "box", "--stop-signal", "INT", "busybox", "sh", "-c", script)
    same("pause", "box")
    same("kill", "-s", "USR1", "box")
    same("inspect", "-f", STATE, "box")


def test_it_stands_still_and_goes_on(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "box", "busybox", "sh", "-c", "while :; do echo .; sleep 0.01; done")
    engine.ok("pause", "box")
    still = len(engine.ok("logs", "box"))
    time.sleep(0.2)
    assert len(engine.ok("logs", "box")) == still
    engine.ok("unpause", "box")
    deadline = time.monotonic() + 10
    while len(engine.ok("logs", "box")) == still:
        assert time.monotonic() < deadline


def test_events(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "600")
    before = engine.ok("info", "--format", "{{.SystemTime}}")
    engine.ok("pause", "box")
    engine.ok("unpause", "box")
    after = engine.ok("info", "--format", "{{.SystemTime}}")
    told = engine.ok("events", "--since", before, "--until", after, "--format", "{{.Type}} {{.Action}}")
    assert told.splitlines() == ["container pause", "container unpause"]


def test_a_paused_container_outlives_the_daemon(daemon: Daemon) -> None:
    """Also one that was paused by a daemon which had no time to write it down."""
    engine = daemon.engine
    waiting = engine.start("run", "--name", "box", "busybox", "sleep", "600")
    engine.wait_until_running("box")
    engine.ok("pause", "box")
    daemon.kill()
    daemon.start()
    assert engine.inspect("box", STATE) == "paused true true"
    engine.ok("unpause", "box")
    assert engine.ok("exec", "box", "echo", "awake") == "awake"
    engine.ok("pause", "box")
    engine.ok("rm", "-f", "box")
    waiting.communicate(timeout=20)
    assert waiting.returncode == 137


def test_a_commit_that_ends_with_the_daemon_pauses_nothing_for_ever(daemon: Daemon) -> None:
    engine = daemon.engine
    for name in ("box", "other"):
        engine.ok("run", "-d", "--name", name, "busybox", "sleep", "600")
    engine.ok("exec", "box", "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=200")
    engine.ok("pause", "other")
    with engine.start("commit", "box", "never") as client:
        try:
            engine.wait_for("box", STATE, "paused true true")
            daemon.kill()
        finally:
            client.kill()
    daemon.start()
    assert engine.inspect("box", STATE) == "running true false"
    assert engine.ok("exec", "box", "echo", "awake") == "awake"
    assert engine.inspect("other", STATE) == "paused true true"
