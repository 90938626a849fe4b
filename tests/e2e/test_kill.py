"""kill -9 of the daemon and of the launcher: containers, streams, logs, exit codes and policies go on."""

from __future__ import annotations

import os
import random
import select
import signal
import socket
import subprocess
import time

import pytest

from tests.e2e.terminal import Terminal
from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon
from tests.servers.namespace import children_of

KILLS = (10, pytest.param(100, marks=pytest.mark.long))
COUNT = 'i=0; while [ $i -lt {n} ]; do i=$((i+1)); echo "$i"; sleep {pause}; done; exit 7'


def kill_launcher(daemon: Daemon) -> None:
    if (pid := daemon.launcher_pid) is not None:
        os.kill(pid, signal.SIGKILL)


def test_containers_and_logs_go_on(daemon: Daemon) -> None:
    engine = daemon.engine
    engine.ok("run", "-d", "--name", "box", "busybox", "sh", "-c", COUNT.format(n=60, pause=0.1))
    pid = engine.inspect("box", "{{.State.Pid}}")
    daemon.kill()
    time.sleep(0.5)
    daemon.start()
    assert engine.inspect("box", "{{.State.Running}} {{.State.Pid}}") == f"true {pid}"
    assert engine.ok("wait", "box") == "7"
    assert engine.ok("logs", "box").split() == [str(n) for n in range(1, 61)]


def test_an_exit_while_the_daemon_is_away(daemon: Daemon) -> None:
    engine = daemon.engine
    engine.ok("run", "-d", "--name", "box", "busybox", "sh", "-c", "sleep 0.3; echo last; exit 9")
    engine.ok("run", "-d", "--rm", "--name", "gone", "busybox", "sleep", "0.3")
    engine.ok(
        "run",
        "-d",
        "--name",
        "again",
        "--restart",
        "on-failure:1",
        "busybox",
        "sh",
        "-c",
        "sleep 0.3; exit 2",
    )
    daemon.kill()
    time.sleep(1.0)
    daemon.start()
    engine.wait_for("box", "{{.State.Status}} {{.State.ExitCode}}", "exited 9")
    assert engine.ok("logs", "box") == "last"
    engine.wait_for("again", "{{.State.Status}} {{.RestartCount}}", "exited 1")
    deadline = time.monotonic() + 10
    while engine.ok("ps", "-aq", "--filter", "name=gone"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_attached_client_goes_on(daemon: Daemon) -> None:
    """Input and output of an attached client pass by the daemon: they work while it is dead."""
    engine = daemon.engine
    engine.ok(
        "create", "-i", "--name", "box", "busybox", "sh", "-c", "while read l; do echo got $l; done; exit 4"
    )
    sock = attach(engine, "box")
    try:
        engine.ok("start", "box")
        sock.sendall(b"one\n")
        assert frame(sock) == b"got one\n"
        daemon.kill()
        sock.sendall(b"two\n")
        assert frame(sock) == b"got two\n"
        daemon.start()
        sock.sendall(b"three\n")
        assert frame(sock) == b"got three\n"
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100) == b""
    finally:
        sock.close()
    assert engine.ok("wait", "box") == "4"
    assert engine.ok("logs", "box") == "got one\ngot two\ngot three"


def test_a_terminal_goes_on(daemon: Daemon) -> None:
    engine = daemon.engine
    engine.ok("run", "-dit", "--name", "box", "busybox", "sh")
    with Terminal([str(engine.cli), "attach", "box"], engine.environment) as terminal:
        terminal.type("echo a$((1+1))\n")
        terminal.expect("a2")
        daemon.kill()
        terminal.type("echo b$((1+1))\n")
        terminal.expect("b2")
        daemon.start()
        terminal.type("echo c$((1+1))\n")
        terminal.expect("c2")


def test_exec_goes_on(daemon: Daemon) -> None:
    engine = daemon.engine
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "60")
    with engine.start("exec", "-i", "box", "cat", stdin=subprocess.PIPE) as client:
        assert client.stdin
        assert client.stdout
        client.stdin.write(b"one\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"one\n"
        daemon.kill()
        client.stdin.write(b"two\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"two\n"
        daemon.start()
        client.communicate(timeout=10)
    assert engine.ok("exec", "box", "echo", "new") == "new"


def test_the_launcher_comes_back(daemon: Daemon) -> None:
    engine = daemon.engine
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "60")
    for _ in range(5):
        kill_launcher(daemon)
        assert engine.ok("run", "--rm", "busybox", "echo", "hi") == "hi"
    assert engine.ok("exec", "box", "echo", "still") == "still"


def test_a_run_in_the_foreground_ends_with_its_own_code(daemon: Daemon) -> None:
    """The client waits for the exit over a connection that its container's shim has, not the daemon."""
    engine = daemon.engine
    with engine.start("run", "--name", "box", "busybox", "sh", "-c", "echo up; sleep 6; exit 5") as client:
        assert client.stdout
        assert client.stdout.readline() == b"up\n"
        # Its output may come before the answer to the start, without which the client gives up.
        engine.wait_until_running("box")
        for _ in range(3):
            daemon.kill()
            daemon.start()
        daemon.kill()
        assert client.wait(timeout=20) == 5
    daemon.start()
    assert engine.inspect("box", "{{.State.Status}} {{.State.ExitCode}}") == "exited 5"


def test_a_policy_outlasts_what_stands_in_its_way(daemon: Daemon) -> None:
    """Somebody has the port when the daemon comes back: the container starts as soon as it is free."""
    engine = daemon.engine
    engine.ok("run", "-d", "--name", "box", "--restart", "always", "-p", "8123:80", "busybox", "sleep", "600")
    engine.ok("kill", "box")
    daemon.kill()
    thief = subprocess.Popen(engine.namespace.command(["busybox", "nc", "-l", "-p", "8123"]))
    try:
        time.sleep(0.3)
        daemon.start()
        engine.wait_for("box", "{{.State.Status}}", "restarting")
        assert "port is already allocated" in engine.inspect("box", "{{.State.Error}}")
    finally:
        for pid in children_of(thief.pid):
            os.kill(pid, signal.SIGKILL)
        thief.wait()
    engine.wait_for("box", "{{.State.Status}}{{.State.Error}}", "running")


def test_a_killed_shim_is_a_killed_container(daemon: Daemon) -> None:
    """Rule 10 of the process model: nobody keeps the container any more, so it ends, with 137 and the reason."""
    engine = daemon.engine
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "60")
    init = int(engine.inspect("box", "{{.State.Pid}}"))
    os.kill(parent(daemon, init), signal.SIGKILL)
    engine.wait_for("box", "{{.State.Status}} {{.State.ExitCode}}", "exited 137")
    assert engine.inspect("box", "{{.State.Error}}") != ""
    engine.ok("start", "box")
    assert engine.ok("exec", "box", "echo", "hi") == "hi"


@pytest.mark.timeout(280)
@pytest.mark.parametrize("kills", KILLS)
def test_random_kills(daemon: Daemon, kills: int) -> None:
    """Daemon or launcher killed at random moments under load; nothing is lost and nothing is left."""
    engine, dice = daemon.engine, random.Random(20240817)
    clients: list[subprocess.Popen[bytes]] = []
    engine.ok("run", "-d", "--name", "steady", "busybox", "sh", "-c", COUNT.format(n=100_000, pause=0.2))
    engine.ok(
        "run", "-d", "--name", "policy", "--restart", "always", "busybox", "sh", "-c", "sleep 10.5; exit 1"
    )
    names: list[str] = []
    sock = attach(engine, "steady")
    try:
        for number in range(kills):
            name = f"job{number}"
            clients.append(
                engine.start(
                    "run", "-d", "--name", name, "busybox", "sh", "-c", f"echo {name}; exit {number % 7}"
                )
            )
            names.append(name)
            time.sleep(dice.uniform(0, 0.15))
            if dice.random() < 0.5:
                kill_launcher(daemon)
            else:
                daemon.kill()
                daemon.start()
        for client in clients:
            client.communicate(timeout=60)
        seen = read_lines(sock)
    finally:
        sock.close()
        for client in clients:
            client.kill()
            client.communicate()
    # The attached stream has every number in order up to now: no kill interrupted it.
    assert seen == list(range(seen[0], seen[0] + len(seen)))
    assert len(seen) > kills // 4
    for number, name in enumerate(names):
        state = engine.docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name).out.strip()
        if clients[number].returncode == 0:
            engine.wait_for(name, "{{.State.Status}} {{.State.ExitCode}}", f"exited {number % 7}")
            assert engine.ok("logs", name) == name
        else:
            # The client lost its daemon: the container may exist or not, but never in a state between.
            assert state.split(" ")[0] in ("", "created", "exited"), f"{name} is {state}"
    assert engine.inspect("steady", "{{.State.Running}}") == "true"
    before = int(engine.inspect("policy", "{{.RestartCount}}"))
    # It runs over ten seconds, so that Docker's growing pause between restarts stays at 0.1 s.
    deadline = time.monotonic() + 30
    while int(engine.inspect("policy", "{{.RestartCount}}")) == before:
        assert time.monotonic() < deadline, "the restart policy stopped working"
        time.sleep(0.2)


def attach(engine: Engine, name: str) -> socket.socket:
    """An attached connection as docker makes one; the answer's head is read."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(15)
    sock.connect(str(engine.socket))
    query = "stream=1&stdin=1&stdout=1&stderr=1"
    sock.sendall(
        f"POST /v1.41/containers/{name}/attach?{query} HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\n"
        "Upgrade: tcp\r\nContent-Length: 0\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = sock.recv(1)
        assert piece, f"connection closed after {head!r}"
        head += piece
    assert head.startswith(b"HTTP/1.1 101")
    return sock


def exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        assert piece, "the attached stream ended"
        data += piece
    return data


def frame(sock: socket.socket) -> bytes:
    """The payload of one frame of Docker's stream multiplexing."""
    return exactly(sock, int.from_bytes(exactly(sock, 8)[4:], "big"))


def read_lines(sock: socket.socket) -> list[int]:
    """All numbers that have arrived; waits for at least one more so that a dead stream is noticed."""
    data = frame(sock)
    while select.select([sock], [], [], 0.1)[0]:  # the container writes every 0.2 s
        data += frame(sock)
    return [int(word) for word in data.split()]


def parent(daemon: Daemon, pid: int) -> int:
    """PID, in our PID namespace, of the parent of a process whose PID is of the engine's namespace."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/status") as file:
                fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
            same = os.readlink(f"/proc/{fields['PPid'].strip()}/ns/net") == os.readlink(
                daemon.engine.namespace.path
            )
        except (OSError, KeyError, ValueError):
            continue
        if str(pid) in fields.get("NSpid", "").split()[1:2] and same:
            return int(fields["PPid"])
    raise AssertionError(f"process {pid} of the engine's namespace was not found")
