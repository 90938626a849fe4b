"""Containers that misbehave: nothing hangs, nothing leaks (the fixture looks), and the state is true afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.memory import memory_bytes
from tests.servers.cgroups import write
from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon
from tests.servers.namespace import children_of

BOMB = "b() { while true; do b & sleep 100 & done; }; b 2>/dev/null & exec sleep 1000"
"""Shells that fork without end, each until it may not; the first process looks on."""
SOON = 10.0


@contextmanager
def others_answer(engine: Engine, seconds: float = SOON) -> Iterator[None]:
    """While the block misbehaves, another container answers in time."""
    engine.ok("run", "-d", "--name", "neighbour", "busybox", "sleep", "1000")
    yield
    begun = time.monotonic()
    assert engine.ok("exec", "neighbour", "echo", "hi") == "hi"
    assert time.monotonic() - begun < seconds


def state(engine: Engine, name: str) -> str:
    return engine.inspect(name, "{{.State.Status}} {{.State.ExitCode}}")


@pytest.mark.parametrize("limit", [("--pids-limit", "60"), ()], ids=["limited", "unlimited"])
def test_forks_wildly(daemon: Daemon, limit: tuple[str, ...]) -> None:
    engine = daemon.engine
    # Without a limit of its own it meets that of the group of all containers, which the host's owner may set.
    engine.ok("run", "-d", "--name", "first", "busybox", "sleep", "1000")
    before = write(f"{daemon.parent}/c", "pids", "pids.max", "300")
    try:
        engine.ok("run", "-d", "--name", "bomb", *limit, "busybox", "sh", "-c", BOMB)
        time.sleep(0.5)
        if limit:
            assert engine.ok("exec", "first", "echo", "hi") == "hi"
        assert engine.ok("ps", "-q", "--filter", "name=bomb")
        engine.ok("stop", "-t", "1", "bomb")
        assert state(engine, "bomb").startswith("exited ")
        engine.ok("run", "--rm", "busybox", "true")
    finally:
        write(f"{daemon.parent}/c", "pids", "pids.max", before)


def test_eats_memory(daemon: Daemon) -> None:
    engine = daemon.engine
    with others_answer(engine):
        done = engine.docker(
            "run",
            "--name",
            "eater",
            "-m",
            "32m",
            "--memory-swap",
            "32m",
            "busybox",
            "sh",
            "-c",
            "tail /dev/zero",
        )
    assert done.code == 137, done
    assert state(engine, "eater") == "exited 137"
    assert engine.inspect("eater", "{{.State.OOMKilled}}") == "true"


@pytest.mark.parametrize("megabytes", [60, pytest.param(1000, marks=pytest.mark.long)])
def test_floods_its_log(daemon: Daemon, megabytes: int) -> None:
    """Neither the daemon nor the shim grows with it."""
    engine = daemon.engine
    engine.ok("run", "-d", "--name", "quiet", "busybox", "sleep", "1000")
    before = memory_bytes(engine)
    blocks = megabytes * 16
    script = f"dd if=/dev/zero bs=64k count={blocks} 2>/dev/null | tr '\\0' x | fold -w 1000; exit 3"
    with others_answer(engine):
        engine.ok("run", "-d", "--name", "flood", "busybox", "sh", "-c", script)
        time.sleep(0.5)
    assert engine.ok("wait", "flood", timeout=240) == "3"
    grown = memory_bytes(engine) - before
    assert grown < 16_000_000, f"{grown} bytes more after {megabytes} MB of log"
    assert engine.ok("logs", "--tail", "1", "flood")[:10] == "x" * 10
    size = os.path.getsize(
        next(daemon.containers.glob("*/*-json.log")).parent.parent / log_name(engine, "flood")
    )
    assert size > megabytes * 1024 * 1024


def log_name(engine: Engine, name: str) -> str:
    identity = engine.inspect(name, "{{.Id}}")
    return f"{identity}/{identity}-json.log"


def test_exit_at_once(daemon: Daemon) -> None:
    """Each in a moment, many at a time: every code is told."""
    engine = daemon.engine
    clients = [
        engine.start("run", "--name", f"quick{number}", "busybox", "sh", "-c", f"exit {number}")
        for number in range(24)
    ]
    try:
        for number, client in enumerate(clients):
            client.communicate(timeout=60)
            assert client.returncode == number
    finally:
        for client in clients:
            client.kill()
            client.communicate()


@pytest.mark.long
def test_five_hundred_exit_at_once(daemon: Daemon) -> None:
    engine = daemon.engine
    for number in range(500):
        name = f"quick{number}"
        body = {
            "Image": "busybox",
            "Cmd": ["sh", "-c", f"exit {number % 7}"],
            "HostConfig": {"NetworkMode": "none"},
        }
        assert engine.api("POST", f"/containers/create?name={name}", body).status == 201
        assert engine.api("POST", f"/containers/{name}/start").status == 204
    for number in range(500):
        answer = engine.api("POST", f"/containers/quick{number}/wait")
        assert answer.body == {"StatusCode": number % 7}
        assert state(engine, f"quick{number}") == f"exited {number % 7}"
    names = [f"quick{number}" for number in range(500)]
    engine.ok("rm", *names, timeout=120)


@pytest.mark.parametrize(
    ("script", "ending"),
    [
        ("trap '' TERM; while true; do sleep 0.1; done", "exited 137"),
        ("exec <&- >&- 2>&-; sleep 1000", "exited 137"),
        ("(setsid sleep 1000 &) ; (setsid sleep 1000 &) ; sleep 1000", "exited 137"),
        ("kill -9 1; kill -STOP 1; sleep 1000", "exited 137"),  # PID 1 takes neither from inside
        ("trap 'exit 5' USR1; kill -USR1 1; sleep 1000", "exited 5"),
        ("kill -STOP $$; i=0; while true; do (true &); done", "exited 137"),
        (
            "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); (sh -c 'true &' &); done; exec sleep 1000",
            "exited 137",
        ),
    ],
    ids=[
        "ignores TERM",
        "closes its stdio",
        "daemons",
        "kills itself",
        "signals itself",
        "stops itself",
        "zombies",
    ],
)
def test_stop_ends_it(daemon: Daemon, script: str, ending: str) -> None:
    engine = daemon.engine
    engine.ok("run", "-d", "--name", "box", "busybox", "sh", "-c", script)
    time.sleep(0.3)
    begun = time.monotonic()
    engine.docker("stop", "-t", "1", "box")
    assert time.monotonic() - begun < SOON
    assert state(engine, "box") == ending
    engine.ok("start", "box")
    engine.ok("rm", "-f", "box")


def test_orphans_in_the_pid_namespace_of_the_host(daemon: Daemon) -> None:
    """They are nobody's zombies, and end with their container."""
    engine = daemon.engine
    script = (
        "i=0; while [ $i -lt 200 ]; do i=$((i+1)); (true &); done; (sleep 2000 &); echo done; exec sleep 1000"
    )
    engine.ok("run", "-d", "--name", "box", "--pid", "host", "busybox", "sh", "-c", script)
    deadline = time.monotonic() + SOON
    while "done" not in engine.ok("logs", "box"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(children_of(shim_of(daemon, "box"))) == 1
    assert engine.ok("exec", "box", "sh", "-c", "(sleep 2000 &); echo hi") == "hi"
    engine.ok("rm", "-f", "box")


def test_files_that_may_not_be_changed(daemon: Daemon) -> None:
    """Removal says why it cannot, keeps what it says it has, and can when they may."""
    engine = daemon.engine
    engine.ok("run", "-d", "--name", "box", "busybox", "sh", "-c", "mkdir /d; touch /d/f; sleep 1000")
    file = daemon.containers / engine.inspect("box", "{{.Id}}") / "upper/d/f"
    deadline = time.monotonic() + SOON
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    subprocess.run(["chattr", "+i", str(file)], check=True)
    try:
        refused = engine.docker("rm", "-f", "box")
        assert refused.code == 1
        assert "Operation not permitted" in refused.err
        assert engine.inspect("box", "{{.State.Status}}") == "exited"
    finally:
        subprocess.run(["chattr", "-i", str(file)], check=True)
    engine.ok("rm", "-f", "box")


def test_stopped_from_outside(daemon: Daemon) -> None:
    """SIGSTOP to all of it: no exec can finish, but it can be killed and removed."""
    engine = daemon.engine
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    engine.ok("kill", "-s", "STOP", "box")
    engine.ok("stop", "-t", "0", "box")
    assert state(engine, "box") == "exited 137"


@pytest.mark.long
def test_a_stopped_shim_does_not_hold_the_engine(daemon: Daemon) -> None:
    """A shim that does not answer is killed, and with it its container."""
    engine = daemon.engine
    for name in ("box", "other"):
        engine.ok("run", "-d", "--name", name, "busybox", "sleep", "1000")
        os.kill(shim_of(daemon, name), signal.SIGSTOP)
    begun = time.monotonic()
    engine.docker("rm", "-f", "box", timeout=60)
    assert time.monotonic() - begun < 45
    assert not engine.ok("ps", "-aq", "--filter", "name=box")
    daemon.kill()
    daemon.start()
    assert state(engine, "other") == "exited 137"


def shim_of(daemon: Daemon, name: str) -> int:
    """PID in our namespace of the shim, by the start of the container's ID in its title."""
    identity = daemon.engine.inspect(name, "{{.Id}}")[:12]
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/cmdline") as file:
                if file.read().startswith(f"pymachine: shim {identity}"):
                    return int(entry)
        except (OSError, ValueError):
            continue
    raise AssertionError(f"{name} has no shim")


def test_odd_files(daemon: Daemon) -> None:
    """Deep trees, names that are no text, and paths beyond PATH_MAX do not keep it from being removed."""
    engine = daemon.engine
    script = r"""
        i=0; while [ $i -lt 400 ]; do mkdir ddddddddddddddddddddd && cd -P ddddddddddddddddddddd; i=$((i+1)); done
        cd /root; printf x > "$(printf '\377\376 \n*')"; touch -- -rf; mkfifo fifo; ln -s / root; mknod null c 1 3
        mkdir locked; touch locked/file; chmod 000 locked; echo done
    """
    assert "done" in engine.ok("run", "--name", "box", "-w", "/tmp", "busybox", "sh", "-c", script)
    engine.ok("start", "-a", "box", timeout=60)
    engine.ok("rm", "box")


def test_privileged_mounts(daemon: Daemon) -> None:
    """What it mounts is in its own mount namespace, and gone with it."""
    engine = daemon.engine
    script = (
        "mkdir /a /b; mount -t tmpfs t /a; mount --bind /a /b; umount -l /proc; mount -t proc p /proc; "
        "mount -t tmpfs t /dev/shm; umount -l /sys; echo done; sleep 1000"
    )
    engine.ok("run", "-d", "--privileged", "--name", "box", "busybox", "sh", "-c", script)
    deadline = time.monotonic() + SOON
    while "done" not in engine.ok("logs", "box"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert engine.ok("exec", "box", "echo", "hi") == "hi"
    engine.ok("rm", "-f", "box")


def test_a_client_that_does_not_read(daemon: Daemon) -> None:
    """It may keep the output of an ended container for as long as it likes, but not the container."""
    engine = daemon.engine
    with engine.start(
        "run", "--name", "box", "busybox", "sh", "-c", "dd if=/dev/zero bs=1M count=3; exit 6"
    ) as client:
        try:
            engine.wait_until_running("box")
            os.kill(client.pid, signal.SIGSTOP)
            engine.docker("kill", "box")
            begun = time.monotonic()
            engine.wait_for("box", "{{.State.Status}}", "exited")
            engine.ok("start", "box")
            engine.ok("rm", "-f", "box")
            assert time.monotonic() - begun < SOON
        finally:
            os.kill(client.pid, signal.SIGKILL)
            client.communicate()


def test_the_launcher_stopped(daemon: Daemon) -> None:
    """The daemon goes on answering; the start waits, and happens when the launcher goes on."""
    engine = daemon.engine
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    launcher = daemon.launcher_pid
    assert launcher is not None
    os.kill(launcher, signal.SIGSTOP)
    clients = [engine.start("run", "--rm", "busybox", "true") for _ in range(14)]
    try:
        time.sleep(0.5)
        assert engine.ok("exec", "box", "echo", "hi", timeout=SOON) == "hi"
    finally:
        os.kill(launcher, signal.SIGCONT)
        for client in clients:
            client.communicate(timeout=60)
    assert [client.returncode for client in clients] == [0] * len(clients)


def test_the_end_of_a_daemon_is_quick(daemon: Daemon) -> None:
    """Though clients follow logs and events and wait."""
    engine = daemon.engine
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    clients = [
        engine.start(*words)
        for words in (("logs", "-f", "box"), ("events",), ("wait", "box"), ("attach", "box"))
    ]
    try:
        time.sleep(0.5)
        begun = time.monotonic()
        pid = daemon.pid
        os.kill(pid, signal.SIGTERM)
        while os.path.exists(f"/proc/{pid}"):
            assert time.monotonic() - begun < 8
            time.sleep(0.05)
    finally:
        daemon.stop()
        daemon.start()
        for client in clients:
            client.kill()
            client.communicate()
    assert not children_of(clients[0].pid)
