"""Attached streams: half-close, order, terminals, detaching, exec, logs."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import subprocess
import time

import pytest

from tests.e2e.terminal import Terminal
from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon

SEQUENCE = "for i in 1 2 3 4 5; do echo line $i; done"


def test_half_close(engine: Engine) -> None:
    """stdin's end reaches the container although its output goes on."""
    assert engine.ok("run", "--rm", "-i", "busybox", "cat", stdin="hi\n") == "hi"
    assert engine.ok("run", "--rm", "-i", "busybox", "sh", "-c", "cat; echo end", stdin="hi\n") == "hi\nend"
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "60")
    assert engine.ok("exec", "-i", "box", "sh", "-c", "wc -c; echo end", stdin="x" * 300_000) == "300000\nend"


def test_no_byte_is_lost(engine: Engine) -> None:
    """20 MB in and out through a reader that is slower than the writer."""
    data = os.urandom(1 << 20) * 20
    with engine.start("run", "--rm", "-i", "busybox", "cat", stdin=subprocess.PIPE) as client:
        out, _ = client.communicate(data, timeout=60)
    assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()
    with engine.start("run", "--rm", "busybox", "head", "-c", "30000000", "/dev/zero") as client:
        assert client.stdout
        time.sleep(0.5)
        assert len(client.stdout.read()) == 30_000_000


def test_stdout_and_stderr_stay_apart(engine: Engine) -> None:
    script = "for i in $(seq 200); do echo o$i; echo e$i >&2; done"
    result = engine.docker("run", "--name", "box", "busybox", "sh", "-c", script)
    assert result.out.split() == [f"o{n}" for n in range(1, 201)]
    assert result.err.split() == [f"e{n}" for n in range(1, 201)]
    logs = engine.docker("logs", "box")
    assert (logs.out, logs.err) == (result.out, result.err)


def test_logs_options(engine: Engine) -> None:
    engine.ok("run", "--name", "box", "busybox", "sh", "-c", SEQUENCE)
    assert engine.ok("logs", "--tail", "2", "box") == "line 4\nline 5"
    assert engine.ok("logs", "--tail", "0", "box") == ""
    stamped = engine.ok("logs", "-t", "box").splitlines()
    assert len(stamped) == 5
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line \d$", line) for line in stamped)
    third = stamped[2].split()[0]
    assert engine.ok("logs", "--since", third, "box") == "line 3\nline 4\nline 5"
    assert engine.ok("logs", "--until", third, "box") in ("line 1\nline 2", "line 1\nline 2\nline 3")
    assert engine.ok("logs", "--since", "1h", "box") == "\n".join(f"line {n}" for n in range(1, 6))


def test_logs_follow_ends_with_the_container(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "box", "busybox", "sh", "-c", "echo a; sleep 0.7; echo b")
    assert engine.ok("logs", "-f", "box", timeout=15) == "a\nb"
    engine.ok("start", "box")
    assert engine.ok("logs", "-f", "box", timeout=15) == "a\nb\na\nb"


def test_a_line_without_newline(engine: Engine) -> None:
    assert engine.docker("run", "--name", "box", "busybox", "printf", "no newline").out == "no newline"
    assert engine.docker("logs", "box").out == "no newline"


def test_long_lines_survive_the_log(engine: Engine) -> None:
    engine.ok(
        "run", "--name", "box", "busybox", "sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; echo; echo end"
    )
    assert engine.ok("logs", "box") == "x" * 100_000 + "\nend"


def test_attach(engine: Engine) -> None:
    script = "read a; echo got $a; sleep 0.3; exit 5"
    engine.ok("create", "-i", "--name", "box", "busybox", "sh", "-c", script)
    started = engine.docker("start", "-a", "-i", "box", stdin="word\n", timeout=15)
    if (
        engine.name != "dockerd" or started.code == 5
    ):  # which now and then loses a client whose stdin ends at once
        assert (started.code, started.out) == (5, "got word\n")
    engine.ok("run", "-di", "--name", "other", "busybox", "sh", "-c", script)
    with engine.start("attach", "other", stdin=subprocess.PIPE) as client:
        assert client.stdin
        assert client.stdout
        # stdin stays open: when it ends at once, dockerd sometimes loses the output.
        client.stdin.write(b"again\n")
        client.stdin.flush()
        assert client.stdout.read() == b"got again\n"
        assert client.wait(15) == 5


def test_exec(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "box", "-e", "A=1", "-w", "/tmp", "busybox", "sleep", "60")
    result = engine.docker("exec", "-e", "B=2", "box", "sh", "-c", 'echo "$A$B $PWD"; echo bad >&2; exit 9')
    assert (result.code, result.out, result.err) == (9, "12 /tmp\n", "bad\n")
    assert engine.ok("exec", "-u", "www", "-w", "/etc", "box", "sh", "-c", "id -u; pwd") == "33\n/etc"
    missing = engine.docker("exec", "box", "nosuch")
    assert missing.code == 126
    assert 'exec: "nosuch": executable file not found in $PATH' in missing.out + missing.err
    assert engine.docker("exec", "box", "/etc").code == 126
    engine.ok("exec", "-d", "box", "touch", "/tmp/made")
    engine.ok(
        "exec",
        "box",
        "sh",
        "-c",
        "for i in 1 2 3 4 5 6 7 8 9; do test -e /tmp/made && exit; sleep 0.1; done; exit 1",
    )
    engine.ok("stop", "-t", "0", "box")
    stopped = engine.docker("exec", "box", "true")
    assert stopped.code == 1
    assert "is not running" in stopped.err


def test_a_quick_exec_loses_neither_output_nor_code(engine: Engine) -> None:
    """Several at once, so that a program may be over before anybody looks."""
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "60")
    for _ in range(8):
        running = [engine.start("exec", "box", "sh", "-c", "echo in; exit 3") for _ in range(4)]
        for client in running:
            out, _ = client.communicate(timeout=30)
            assert (out, client.returncode) == (b"in\n", 3)


def test_exec_inspect(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "60")
    body = {"Cmd": ["sh", "-c", "exit 4"], "AttachStdout": True, "Env": ["A=b"]}
    made = engine.api("POST", "/containers/box/exec", body)
    assert made.status == 201
    assert isinstance(made.body, dict)
    identity = made.body["Id"]
    assert engine.api("POST", f"/exec/{identity}/start", {"Detach": True}).status == 200
    deadline = time.monotonic() + 5
    while True:
        found = engine.api("GET", f"/exec/{identity}/json").body
        assert isinstance(found, dict)
        if not found["Running"]:
            break
        assert time.monotonic() < deadline
    assert found["ExitCode"] == 4
    assert found["ProcessConfig"]["entrypoint"] == "sh"
    assert found["ProcessConfig"]["arguments"] == ["-c", "exit 4"]


def test_terminal(engine: Engine) -> None:
    argv = [str(engine.cli), "run", "-it", "--name", "box", "busybox", "sh"]
    with Terminal(argv, engine.environment, rows=33, columns=99) as terminal:
        terminal.expect(r"/ # ")
        terminal.type("stty size; tty; echo $TERM\n")
        terminal.expect(r"33 99\r\n/dev/pts/0\r\nxterm\r\n")
        terminal.resize(40, 120)
        time.sleep(0.3)
        terminal.type("stty size\n")
        terminal.expect(r"40 120\r\n")
        terminal.type("sleep 50\n")
        time.sleep(0.3)
        terminal.type("\x03")
        terminal.expect(r"\^C\r\n/ # ")
        terminal.type("exit 7\n")
        assert terminal.wait() == 7
        assert terminal.is_restored()
    assert "33 99" in engine.ok("logs", "box")


def test_detach_and_attach_again(engine: Engine) -> None:
    argv = [str(engine.cli), "run", "-it", "--name", "box", "busybox", "sh"]
    with Terminal(argv, engine.environment) as terminal:
        terminal.expect(r"/ # ")
        terminal.type("A=kept\n")
        terminal.expect(r"/ # ")
        terminal.type("\x10\x11")
        assert terminal.wait() == 0
        assert terminal.is_restored()
    assert engine.inspect("box", "{{.State.Running}}") == "true"
    with Terminal([str(engine.cli), "attach", "box"], engine.environment) as terminal:
        terminal.type("echo is $A\n")
        terminal.expect(r"is kept\r\n")
        terminal.type("exit 3\n")
        assert terminal.wait() == 3


def test_detach_keys_of_ones_own(engine: Engine) -> None:
    argv = [str(engine.cli), "run", "-it", "--detach-keys", "ctrl-a,b", "--name", "box", "busybox", "cat"]
    with Terminal(argv, engine.environment) as terminal:
        terminal.type("x\x01y\n")
        terminal.expect("y")
        terminal.type("\x01b")
        assert terminal.wait() == 0
    assert engine.inspect("box", "{{.State.Running}}") == "true"


def test_exec_terminal(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "60")
    with Terminal(
        [str(engine.cli), "exec", "-it", "box", "sh"], engine.environment, rows=30, columns=70
    ) as terminal:
        terminal.expect(r"/ # ")
        time.sleep(0.3)
        terminal.type("stty size; tty\n")
        terminal.expect(r"30 70\r\n/dev/pts/\d\r\n")
        terminal.type("exit 2\n")
        assert terminal.wait() == 2


def test_signals_are_passed_on(engine: Engine) -> None:
    script = "trap 'echo term; exit 9' TERM; echo up; while :; do sleep 0.1; done"
    with engine.start("run", "--rm", "busybox", "sh", "-c", script) as client:
        assert client.stdout
        assert client.stdout.readline() == b"up\n"
        client.terminate()
        assert client.wait(10) == 9
        assert client.stdout.read() == b"term\n"


@pytest.mark.parametrize("upgrade", [True, False])
def test_input_in_the_same_segment_as_the_request(daemon: Daemon, upgrade: bool) -> None:
    """Old clients send no Upgrade header; fast ones do not wait for our answer. dockerd 26.1 loses these bytes."""
    engine = daemon.engine
    engine.ok("run", "-di", "--name", "box", "busybox", "sh", "-c", "read a; echo got $a")
    with _attach(engine, upgrade, b"early\n") as sock:
        data = _read_all(sock)
    first, _, rest = data.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 101" if upgrade else b"HTTP/1.1 200")
    assert rest == b"\x01\0\0\0\0\0\0\x0agot early\n"


def test_the_end_of_input_before_our_answer(daemon: Daemon) -> None:
    """The client's FIN may be there before the 101; dockerd ends the connection then, we still give the output."""
    daemon.engine.ok("run", "-di", "--name", "box", "busybox", "sh", "-c", "read a; sleep 0.2; echo got $a")
    with _attach(daemon.engine, True, b"early\n") as sock:
        sock.shutdown(socket.SHUT_WR)
        assert _read_all(sock).endswith(b"\x01\0\0\0\0\0\0\x0agot early\n")


def _attach(engine: Engine, upgrade: bool, early: bytes) -> socket.socket:
    query = "stream=1&stdin=1&stdout=1"
    head = f"POST /v1.41/containers/box/attach?{query} HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n"
    head += "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n" if upgrade else "\r\n"
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(str(engine.socket))
    sock.sendall(head.encode() + early)
    return sock


def _read_all(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data
