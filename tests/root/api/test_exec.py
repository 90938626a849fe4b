"""exec with each of its options, by the docker CLI and by the API; wait and resize with what can be asked wrong."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time

import pytest

from tests.root.differential.conftest import neutral, same
from tests.servers.engine import Engine

__all__ = ["same"]
pytestmark = [pytest.mark.root, pytest.mark.peer]

COMMANDS = (
    ("exec", "box", "echo", "a  b"),
    ("exec", "-i", "box", "cat"),
    ("exec", "box", "sh", "-c", "echo e >&2; exit 3"),
    ("exec", "-e", "A=1", "-e", "B=", "box", "sh", "-c", "echo $A $B ${B-unset}"),
    ("exec", "-e", "HOME=/x", "box", "sh", "-c", "echo $HOME $HOSTNAME $TERM"),
    ("exec", "-e", "=x", "box", "true"),
    ("exec", "-w", "/tmp", "box", "pwd"),
    ("exec", "-w", "/ghost", "box", "pwd"),
    ("exec", "-w", "tmp", "box", "pwd"),
    *(("exec", "-u", user, "box", "id") for user in ("www", "12:34", "www:staff", "ghost", "www:ghosts")),
    *(("exec", "box", command) for command in ("ghost", "/etc", "/etc/passwd")),
    ("exec", "ghost", "true"),
    ("exec", "--detach-keys", "ctrl-?", "box", "true"),
    ("exec", "-d", "box", "true"),
    ("exec", "-d", "box", "ghost"),
    ("exec", "-t", "box", "sh", "-c", "tty; test -t 0 && echo yes"),
    ("exec", "--privileged", "box", "grep", "Cap", "/proc/self/status"),
)


def test_options(both: tuple[Engine, Engine]) -> None:
    differing = []
    for engine in both:
        engine.ok("run", "-d", "--name", "box", "-h", "box", "busybox", "sleep", "600")
    for argv in COMMANDS:
        theirs, ours = (engine.docker(*argv, stdin="in\n" if "-i" in argv else None) for engine in both)
        if (theirs.code, theirs.out, neutral(theirs.err)) != (ours.code, ours.out, neutral(ours.err)):
            differing.append(f"{' '.join(argv)}:\n  theirs {theirs}\n  ours   {ours}")
    assert not differing, "\n".join(differing)


def created(engine: Engine, **body: object) -> str:
    answer = engine.api("POST", "/v1.44/containers/box/exec", body)
    assert isinstance(answer.body, dict)
    assert answer.status == 201, answer
    return str(answer.body["Id"])


def run(engine: Engine, exec_id: str, version: str = "1.44", **body: object) -> tuple[str, bytes]:
    """Content type and bytes of an exec's stream."""
    data = json.dumps(body)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(engine.socket))
        lines = [f"POST /v{version}/exec/{exec_id}/start HTTP/1.1", "Host: docker", "Connection: Upgrade"]
        lines += ["Upgrade: tcp", "Content-Type: application/json", f"Content-Length: {len(data)}", "", data]
        sock.sendall("\r\n".join(lines).encode())
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    head, _, stream = answer.partition(b"\r\n\r\n")
    kind = next(line for line in head.decode().splitlines() if line.lower().startswith("content-type"))
    return kind.partition("/")[2], stream


def framed(data: bytes, channel: int = 1) -> bytes:
    return struct.pack("!BxxxI", channel, len(data)) + data


def test_streams_are_as_the_start_wants_them(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "600")
    wanted = {"AttachStdout": True, "AttachStderr": True, "Cmd": ["sh", "-c", "echo out"]}
    plain = "vnd.docker.raw-stream", "vnd.docker.multiplexed-stream"
    assert run(engine, created(engine, **wanted), Tty=False) == (plain[1], framed(b"out\n"))
    assert run(engine, created(engine, **wanted), "1.41", Tty=False) == (plain[0], framed(b"out\n"))
    assert run(engine, created(engine, **wanted), Tty=True) == (plain[0], b"out\n")
    assert run(engine, created(engine, Tty=True, **wanted), Tty=True) == (plain[0], b"out\r\n")
    assert run(engine, created(engine, Tty=True, **wanted), Tty=False) == (plain[1], framed(b"out\r\n"))
    assert run(engine, created(engine, Cmd=["echo", "x"]), Tty=False) == (plain[1], b"")


def test_size_of_the_console(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "600")
    wanted = {"AttachStdout": True, "Tty": True, "Cmd": ["stty", "size"]}
    assert run(engine, created(engine, ConsoleSize=[30, 100], **wanted), Tty=True)[1] == b"30 100\r\n"
    both = created(engine, ConsoleSize=[30, 100], **wanted)
    assert run(engine, both, Tty=True, ConsoleSize=[40, 50])[1] == b"40 50\r\n"
    old = created(engine, **wanted)
    assert (
        run(engine, old, "1.41", Tty=True, ConsoleSize=[40, 50])[1] == b"stty: standard input\r\n"
    )  # no size


def test_inspection(both: tuple[Engine, Engine]) -> None:
    shown = []
    for engine in both:
        engine.ok("run", "-d", "--name", "box", "-u", "www", "busybox", "sleep", "600")
        exec_id = created(
            engine, Cmd=["sh", "-c", "exit 3"], DetachKeys="ctrl-x", Tty=True, AttachStdout=True
        )
        seen = [engine.api("GET", f"/exec/{exec_id}/json").body]
        run(engine, exec_id, Tty=True)
        deadline = time.monotonic() + 10
        while (now := _inspect(engine, exec_id))["Running"]:
            assert time.monotonic() < deadline
        seen.append(now)
        for each in seen:
            assert isinstance(each, dict)
            # Where Docker shows bytes in base64, we show what was asked; the process has another ID.
            shown.append({key: each[key] for key in each.keys() - {"ID", "ContainerID", "Pid", "DetachKeys"}})
    assert shown[2:] == shown[:2]


def _inspect(engine: Engine, exec_id: str) -> dict[str, object]:
    found = engine.api("GET", f"/exec/{exec_id}/json").body
    assert isinstance(found, dict)
    return found


def test_errors(both: tuple[Engine, Engine]) -> None:
    answers = []
    for engine in both:
        engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "600")
        engine.ok("create", "--name", "fresh", "busybox")
        ended = created(engine, Cmd=["true"])
        run(engine, ended, Tty=False)
        told = [
            engine.api("POST", "/containers/box/exec", {"Cmd": []}),
            engine.api("POST", "/containers/box/exec", {"Cmd": ["true"], "DetachKeys": "nope"}),
            engine.api("POST", "/containers/fresh/exec", {"Cmd": ["true"]}),
            engine.api("POST", "/containers/fresh/resize?h=1&w=1"),
            engine.api("POST", "/containers/ghost/resize?h=1&w=1"),
            engine.api("POST", "/containers/fresh/wait?condition=no"),
            engine.api("POST", "/v1.29/containers/fresh/wait?condition=no"),
            engine.api("POST", "/containers/fresh/kill?signal=KILL"),
            engine.api("POST", "/containers/box/kill?signal=SIGNOPE"),
            engine.api("POST", "/containers/box/kill?signal=0x9"),
        ]
        engine.ok("pause", "box")
        told += [
            engine.api("POST", "/containers/box/exec", {"Cmd": ["true"]}),
            engine.api("POST", "/containers/box/pause"),
            engine.api("POST", "/containers/fresh/unpause"),
        ]
        engine.ok("unpause", "box")
        # A key that is none is the client's fault, so 400 here where it is 500 there.
        answers.append([(400 if each.status == 500 else each.status, neutral(each.message)) for each in told])
    differing = [f"theirs {one}, ours {two}" for one, two in zip(*answers, strict=True) if one != two]
    assert not differing, "\n".join(differing)


@pytest.mark.parametrize("condition", ["not-running", "next-exit", "removed"])
def test_conditions_of_wait(engine: Engine, condition: str) -> None:
    """Each is met when it should be, with the exit code."""
    engine.ok("create", "--name", "box", "busybox", "sh", "-c", "exit 7")
    got: list[object] = []
    waiting = threading.Thread(
        target=lambda: got.append(engine.api("POST", f"/containers/box/wait?condition={condition}").body)
    )
    if condition == "not-running":
        assert engine.api("POST", "/containers/box/wait").body == {"StatusCode": 0}
        engine.ok("start", "box")
    waiting.start()
    if condition == "next-exit":
        time.sleep(0.2)  # it has to be asked before the start; a missed exit would be waited for in vain
        engine.ok("start", "box")
    if condition == "removed":
        engine.ok("start", "box")
        engine.wait_for("box", "{{.State.Status}}", "exited")
        assert not got
        engine.ok("rm", "box")
    waiting.join(20)
    assert got == [{"StatusCode": 7}]
