"""Clients that do random things with containers of their own, and know what must be true of them afterwards."""

from __future__ import annotations

import http.client
import json
import random
import socket
import subprocess
import time
from dataclasses import dataclass, field
from urllib.parse import quote

from tests.servers.engine import Engine, UnixConnection

CALL_LIMIT = 45.0
"""Seconds that any call may take: more than every limit inside the engine, on a machine that is busy."""

GONE = (ConnectionError, http.client.HTTPException, FileNotFoundError)
"""What a client sees of a daemon that is killed."""

PROGRAMS = {
    "sleeper": ("sleep 1000", None),
    "coder": ("echo said; exit 7", 7),
    "short": ("sleep 0.2; exit 9", 9),
    "stubborn": ("trap '' TERM; while true; do sleep 0.1; done", None),
    "chatty": ("while true; do echo $((i=i+1)); sleep 0.02; done", None),
}


class HangError(AssertionError):
    """A call was not answered in time."""


@dataclass
class Known:
    """What its client knows of a container."""

    kind: str
    killed: bool = False
    """A signal was sent to it or it was asked to stop: its code may be that of the signal."""


@dataclass
class Client:
    """One sequence of random operations on `engine`; `containers` are those it was told were made and not removed."""

    engine: Engine
    name: str
    dice: random.Random
    containers: dict[str, Known] = field(default_factory=dict)
    uncertain: set[str] = field(default_factory=set)
    """Names whose creation, renaming or removal was not answered."""
    failures: list[str] = field(default_factory=list)
    made: int = 0

    def act(self) -> None:
        """One operation."""
        if not self.containers or (len(self.containers) < 6 and self.dice.random() < 0.2):
            self.create()
            return
        if self.dice.random() < 0.1:
            self.run()
            return
        target = self.dice.choice(list(self.containers))
        known = self.containers[target]
        match self.dice.choice(
            (
                "start",
                "start",
                "start",
                "exec",
                "attach",
                "logs",
                "stop",
                "restart",
                "rename",
                "rm",
                "wait",
                "kill",
            )
        ):
            case "start":
                self.call("POST", f"/containers/{target}/start")
            case "exec":
                self.execute(target)
            case "attach":
                self.attach(target)
            case "logs":
                self.call("GET", f"/containers/{target}/logs?stdout=1&stderr=1&tail=10")
            case "stop":
                known.killed = True
                self.call("POST", f"/containers/{target}/stop?t=1")
            case "restart":
                known.killed = True
                self.call("POST", f"/containers/{target}/restart?t=1")
            case "rename":
                self.rename(target)
            case "rm":
                self.remove(target)
            case "wait":
                if PROGRAMS[known.kind][1] is not None:  # others never end by themselves
                    self.wait(target)
            case "kill":
                known.killed = True
                number = self.dice.choice(("KILL", "TERM", "HUP", "USR1"))
                self.call("POST", f"/containers/{target}/kill?signal={number}")

    def create(self) -> None:
        self.made += 1
        name, kind = f"{self.name}-{self.made}", self.dice.choice(list(PROGRAMS))
        body = {
            "Image": "busybox",
            "Cmd": ["sh", "-c", PROGRAMS[kind][0]],
            "HostConfig": {"NetworkMode": self.dice.choice(("bridge", "none", "host"))},
        }
        status = self.call("POST", f"/containers/create?name={name}", body)
        if status == 201:
            self.containers[name] = Known(kind)
        elif status is None:
            self.uncertain.add(name)

    def run(self) -> None:
        """`docker run` in the foreground: once it has started, no daemon is needed for its end."""
        self.made += 1
        name = f"{self.name}-{self.made}"
        command, code = PROGRAMS["coder"]
        try:
            done = self.engine.docker(
                "run", "--name", name, "busybox", "sh", "-c", command, timeout=CALL_LIMIT
            )
        except subprocess.TimeoutExpired as error:
            raise HangError(f"docker run --name {name}") from error
        if done.code == code:
            assert done.out == "said\n", done
            self.containers[name] = Known("coder")
        else:
            lost = done.code == 1 and "docker.sock" in done.err  # its attachment, before the start
            assert lost or done.code in (125, 137), done  # no daemon; the shim was killed
            self.uncertain.add(name)
            self.await_daemon()

    def rename(self, target: str) -> None:
        self.made += 1
        name = f"{self.name}-{self.made}"
        status = self.call("POST", f"/containers/{target}/rename?name={name}")
        if status == 204:
            self.containers[name] = self.containers.pop(target)
        elif status is None:
            del self.containers[target]
            self.uncertain |= {target, name}

    def remove(self, target: str) -> None:
        status = self.call("DELETE", f"/containers/{target}?force=1")
        if status == 204:
            del self.containers[target]
        elif status is None:
            del self.containers[target]
            self.uncertain.add(target)

    def execute(self, target: str) -> None:
        answer = self.ask("POST", f"/containers/{target}/exec", {"Cmd": ["echo", "hi"], "AttachStdout": True})
        if answer is not None and answer[0] == 201:
            self.call("POST", f"/exec/{answer[1]['Id']}/start", {"Detach": False})

    def wait(self, target: str) -> None:
        """A created one does not end: it is started first."""
        if self.call("POST", f"/containers/{target}/start") in (204, 304):
            self.call("POST", f"/containers/{target}/wait")

    def attach(self, target: str) -> None:
        """For a moment, as a client that goes away."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(CALL_LIMIT)
            try:
                sock.connect(str(self.engine.socket))
                sock.sendall(
                    f"POST /containers/{target}/attach?stream=1&stdout=1&stdin=1 HTTP/1.1\r\nHost: d\r\n"
                    "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n".encode()
                )
                sock.recv(64)
            except TimeoutError as error:
                raise HangError(f"attach to {target}") from error
            except GONE:
                self.await_daemon()

    def await_daemon(self) -> None:
        """Else all operations would be spent on one that is away."""
        deadline = time.monotonic() + CALL_LIMIT
        while time.monotonic() < deadline:
            with socket.socket(socket.AF_UNIX) as sock:
                try:
                    sock.connect(str(self.engine.socket))
                    return
                except OSError:
                    time.sleep(0.02)
        raise HangError("the daemon did not come back")

    def call(self, method: str, path: str, body: object = None) -> int | None:
        """The status; None when the daemon went away meanwhile."""
        answer = self.ask(method, path, body)
        return None if answer is None else answer[0]

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, str]] | None:
        connection = UnixConnection(self.engine.socket, timeout=CALL_LIMIT)
        start = time.monotonic()
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, quote(path, safe="/?&=%:"), data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            raw = answer.read()
        except TimeoutError as error:
            raise HangError(f"{method} {path} after {time.monotonic() - start:.0f} s") from error
        except GONE:
            self.await_daemon()
            return None
        finally:
            connection.close()
        if answer.status >= 500:
            self.failures.append(f"{method} {path}: {answer.status} {raw.decode(errors='replace')}")
        try:
            decoded = json.loads(raw)
        except ValueError:  # a stream, or nothing
            decoded = {}
        return answer.status, decoded
