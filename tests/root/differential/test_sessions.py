"""Attached clients: signals, keys, sizes, slow readers, and those that vanish."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.terminal import Terminal
from tests.root.differential.conftest import Same
from tests.servers.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]

TRAPS = (
    "trap 'echo got TERM; exit 5' TERM; trap 'echo got USR1' USR1; echo ready; while :; do sleep 0.05; done"
)


@contextmanager
def begun(engine: Engine, *argv: str, stdin: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    """A docker client in the background, whose end is ours."""
    with engine.start(*argv, stdin=stdin) as client:
        try:
            yield client
        finally:
            client.kill()


def line(client: subprocess.Popen[bytes]) -> str:
    assert client.stdout
    return client.stdout.readline().decode().rstrip("\n")


def test_signals_of_the_client_reach_the_container(engine: Engine) -> None:
    with begun(engine, "run", "--name", "box", "busybox", "sh", "-c", TRAPS) as client:
        assert line(client) == "ready"
        client.send_signal(signal.SIGUSR1)
        assert line(client) == "got USR1"
        client.send_signal(signal.SIGTERM)
        assert line(client) == "got TERM"
        assert client.wait(15) == 5


def test_sig_proxy_false(engine: Engine) -> None:
    with begun(engine, "run", "--sig-proxy=false", "--name", "box", "busybox", "sh", "-c", TRAPS) as client:
        assert line(client) == "ready"
        client.send_signal(signal.SIGTERM)
        client.send_signal(signal.SIGUSR1)
        engine.ok("exec", "box", "true")
    assert engine.inspect("box", "{{.State.Running}}") == "true"
    assert engine.ok("logs", "box") == "ready"


def test_attach_without_stdin(engine: Engine) -> None:
    engine.ok(
        "run",
        "-d",
        "-i",
        "--name",
        "box",
        "busybox",
        "sh",
        "-c",
        "read x; while :; do echo read $x; sleep 0.2; done",
    )
    with begun(engine, "attach", "--no-stdin", "box", stdin=subprocess.PIPE) as blind:
        assert blind.stdin
        blind.stdin.write(b"unheard\n")
        blind.stdin.flush()
        with begun(engine, "attach", "box", stdin=subprocess.PIPE) as client:
            assert client.stdin
            client.stdin.write(b"heard\n")
            client.stdin.flush()
            assert line(client) == "read heard"
            assert line(blind) == "read heard"
            client.kill()
        blind.kill()


def test_what_cannot_be_attached(same: Same) -> None:
    same("create", "--name", "box", "busybox", "true")
    same("attach", "box")
    same("attach", "ghost")
    same("attach", "--detach-keys", "ctrl-?", "box")
    same("run", "-d", "--name", "paused", "busybox", "sleep", "60")
    same("pause", "paused")
    same("attach", "paused")
    same("unpause", "paused")


def test_detach_keys_of_the_configuration_file(engine: Engine) -> None:
    config = engine.share / "docker-config" / "config.json"
    engine.ok("version")
    config.write_text(json.dumps({"detachKeys": "ctrl-e,x"}))
    try:
        argv = [str(engine.cli), "run", "-it", "--name", "box", "busybox", "cat"]
        with Terminal(argv, engine.environment) as terminal:
            terminal.type("a\x10\x11b\n")
            terminal.expect("b")
            terminal.type("\x05x")
            assert terminal.wait() == 0
            assert terminal.is_restored()
        assert engine.inspect("box", "{{.State.Running}}") == "true"
    finally:
        config.unlink()


def test_two_terminals_see_the_same_and_sizes_are_of_the_last(engine: Engine) -> None:
    argv = [str(engine.cli), "run", "-it", "--name", "box", "busybox", "sh"]
    with Terminal(argv, engine.environment, rows=30, columns=90) as first:
        first.expect(r"/ # ")
        attach = [str(engine.cli), "attach", "box"]
        with Terminal(attach, engine.environment, rows=20, columns=70) as second:
            deadline = time.monotonic() + 15
            while "20 70" not in engine.ok("exec", "box", "stty", "-F", "/dev/pts/0", "size"):
                assert time.monotonic() < deadline
            second.type("echo hello-$((6*7))\n")
            second.expect(r"hello-42")
            first.expect(r"hello-42")
            second.type("\x10\x11")
            assert second.wait() == 1  # "read escape sequence"
        first.type("exit 4\n")
        assert first.wait() == 4


def test_a_client_that_vanishes_does_not_hold_the_container(engine: Engine) -> None:
    """It had stopped reading before; what it leaves behind is no reason to wait."""
    script = "head -c 8000000 /dev/zero | tr '\\0' 'x'; echo; echo done > /done; sleep 60"
    with begun(
        engine, "run", "--name", "box", "--log-driver", "none", "busybox", "sh", "-c", script
    ) as client:
        engine.wait_until_running("box")
        assert engine.docker("exec", "box", "cat", "/done").code == 1
        client.send_signal(signal.SIGKILL)
        client.wait()
    deadline = time.monotonic() + 15
    while engine.docker("exec", "box", "cat", "/done").out != "done\n":
        assert time.monotonic() < deadline


def test_logs_that_are_followed_end_with_the_client_and_the_container(engine: Engine) -> None:
    script = "while :; do echo tick; sleep 0.05; done"
    engine.ok("run", "-d", "--name", "box", "busybox", "sh", "-c", script)
    with begun(engine, "logs", "-f", "box") as follower:
        assert line(follower) == "tick"
        follower.kill()
    with begun(engine, "logs", "-f", "--tail", "1", "box") as follower:
        assert line(follower) == "tick"
        engine.ok("kill", "box")
        assert follower.stdout
        follower.stdout.read()
        assert follower.wait(15) == 0


def test_restarts_are_counted_and_told(both: tuple[Engine, Engine]) -> None:
    told = []
    for engine in both:
        before = engine.ok("info", "--format", "{{.SystemTime}}")
        engine.ok("run", "-d", "--name", "box", "--restart", "on-failure:3", "busybox", "sh", "-c", "exit 9")
        engine.wait_for("box", "{{.State.Status}} {{.RestartCount}}", "exited 3")
        now = engine.ok("info", "--format", "{{.SystemTime}}")
        out = engine.ok("events", "--since", before, "--until", now, "--format", "{{.Type}} {{.Action}}")
        told.append([each for each in out.splitlines() if each.startswith("container")])
        told.append([engine.inspect("box", "{{.State.ExitCode}} {{.State.Restarting}} {{.State.Running}}")])
    assert told[2:] == told[:2]
