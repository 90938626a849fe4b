"""The daemon is replaced by one of the present tree while containers of an old one run (design.md, rule 12)."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hostagent.runtime import protocol
from tests.e2e.terminal import Terminal
from tests.servers.engine import Engine
from tests.servers.hostagent import SOURCE, Daemon

LOOP = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.2; done"
Upgrade = Callable[[], None]


@pytest.fixture
def engine(old_daemon: Daemon) -> Engine:
    return old_daemon.engine


@pytest.fixture
def upgrade(old_daemon: Daemon) -> Upgrade:
    """By SIGTERM, as systemd restarts a service."""

    def run() -> None:
        old_daemon.stop()
        old_daemon.source = SOURCE
        old_daemon.start()

    return run


def shims(engine: Engine) -> dict[str, tuple[int, bool]]:
    """Name of each running container: the protocol of its shim, and whether that is of the daemon's code."""
    answer = engine.api("GET", "/pymachine/v1/shims")
    assert isinstance(answer.body, list)
    return {each["Name"]: (each["Protocol"], each["Current"]) for each in answer.body}


def test_containers_run_on_and_do_what_they_are_told(engine: Engine, upgrade: Upgrade) -> None:
    engine.ok("run", "-d", "--name", "box", "-p", "8125:80", "-m", "64m", "busybox", "sh", "-c", LOOP)
    engine.ok("exec", "box", "sh", "-c", "echo kept > /root/file")
    engine.ok("exec", "-d", "box", "httpd", "-h", "/root")
    pid = engine.inspect("box", "{{.State.Pid}}")
    address = engine.inspect("box", "{{.NetworkSettings.IPAddress}}")
    upgrade()
    assert shims(engine) == {"box": (1, False)}
    assert engine.inspect("box", "{{.State.Running}} {{.State.Pid}}") == f"true {pid}"
    assert engine.inspect("box", "{{.NetworkSettings.IPAddress}}") == address
    assert engine.inspect("box", '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}') == "8125"
    assert engine.ok("exec", "box", "cat", "/root/file") == "kept"
    assert engine.docker("exec", "box", "sh", "-c", "exit 5").code == 5
    fetched = engine.namespace.run(["busybox", "wget", "-qO-", f"http://{address}/file"])
    assert fetched.stdout == "kept\n"
    assert "line 1\n" in engine.ok("logs", "box")
    assert "httpd" in engine.ok("top", "box")
    stats = engine.ok("stats", "--no-stream", "--format", "{{.MemUsage}}", "box")
    assert "/ 64MiB" in stats and not stats.startswith("0B")
    engine.ok("cp", "box:/root/file", str(engine.share / "copied"))
    assert (engine.share / "copied").read_text() == "kept\n"
    engine.ok("update", "-m", "96m", "--memory-swap", "96m", "--restart", "unless-stopped", "box")
    engine.ok("pause", "box")
    assert engine.inspect("box", "{{.State.Status}}") == "paused"
    engine.ok("unpause", "box")
    engine.ok("rename", "box", "case")
    engine.ok("stop", "-t", "0", "case")
    assert engine.inspect("case", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137"
    engine.ok("start", "case")
    assert shims(engine) == {"case": (protocol.VERSION, True)}
    assert engine.ok("exec", "case", "cat", "/root/file") == "kept"


def test_streams_terminals_and_codes_go_on(engine: Engine, upgrade: Upgrade) -> None:
    engine.ok("run", "-d", "--name", "ending", "busybox", "sh", "-c", "sleep 1; exit 9")
    engine.ok("run", "-d", "--rm", "--name", "removed", "busybox", "sleep", "1")
    engine.ok("run", "-dit", "--name", "tty", "busybox", "sh")
    with (
        engine.start("run", "-i", "--name", "cat", "busybox", "cat", stdin=subprocess.PIPE) as cat,
        engine.start("exec", "-i", "tty", "cat", stdin=subprocess.PIPE) as execution,
        Terminal([str(engine.cli), "attach", "tty"], engine.environment) as terminal,
    ):
        try:
            engine.wait_until_running("cat")
            exchange(cat, b"one\n")
            exchange(execution, b"two\n")
            upgrade()
            exchange(cat, b"three\n")
            exchange(execution, b"four\n")
            terminal.type("echo a$((1+1))\n")
            terminal.expect("a2")
            terminal.type("exit 4\n")
            assert engine.ok("wait", "tty") == "4"
            cat.communicate(timeout=20)
            assert cat.returncode == 0
        finally:
            for client in (cat, execution):
                client.kill()
    assert engine.ok("wait", "ending") == "9"
    assert engine.ok("wait", "cat") == "0"
    assert engine.ok("logs", "cat") == "one\nthree"
    until_gone(engine, "removed")


def until_gone(engine: Engine, name: str) -> None:
    deadline = time.monotonic() + 15
    while engine.ok("ps", "-aq", "--filter", f"name={name}"):
        assert time.monotonic() < deadline, f"{name} is still there"
        time.sleep(0.05)


def exchange(client: subprocess.Popen[bytes], line: bytes) -> None:
    assert client.stdin and client.stdout
    client.stdin.write(line)
    client.stdin.flush()
    assert client.stdout.readline() == line


def test_ends_while_no_daemon_is_there_and_policies(
    old_daemon: Daemon, engine: Engine, upgrade: Upgrade
) -> None:
    engine.ok("run", "-d", "--name", "ending", "busybox", "sh", "-c", "sleep 0.3; echo last; exit 9")
    engine.ok("run", "-d", "--rm", "--name", "removed", "busybox", "sleep", "0.3")
    engine.ok("run", "-d", "--name", "policy", "--restart", "always", "busybox", "sleep", "0.3")
    engine.ok("create", "--name", "made", "busybox", "echo", "made")
    old_daemon.kill()
    deadline = time.monotonic() + 20
    while any(old_daemon.shims.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    upgrade()
    assert engine.inspect("ending", "{{.State.Status}} {{.State.ExitCode}}") == "exited 9"
    assert engine.ok("logs", "ending") == "last"
    assert engine.inspect("policy", "{{.State.Running}}") == "true"
    assert engine.ok("start", "-a", "made") == "made"
    engine.wait_for("policy", "{{.State.Running}}", "true")
    until_gone(engine, "removed")


def test_back_again(old_daemon: Daemon, engine: Engine, old_tree: Path, upgrade: Upgrade) -> None:
    """A daemon of before reads what this one wrote, as long as nothing was used that it does not know."""
    engine.ok("run", "-d", "--name", "first", "busybox", "sleep", "1000")
    upgrade()
    engine.ok("run", "-d", "--name", "second", "busybox", "sh", "-c", "sleep 2; exit 3")
    old_daemon.stop()
    old_daemon.source = old_tree
    old_daemon.start()
    assert engine.ok("exec", "first", "echo", "hi") == "hi"
    assert engine.ok("wait", "second") == "3"
    engine.ok("run", "--rm", "busybox", "true")
