"""One shape for the two engines that every scenario runs on: the peer (dockerd) and ours."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.servers.namespace import Namespace

BUSYBOX = "busybox"
REGISTRY_PORT = 5000


@dataclass(frozen=True)
class Result:
    """What a command gave; `out` and `err` are complete."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Answer:
    """Status and decoded JSON body (None when there is none) of one API call."""

    status: int
    body: object

    @property
    def message(self) -> str:
        """Docker's error text, or an empty string."""
        return str(self.body.get("message", "")) if isinstance(self.body, dict) else ""


class UnixConnection(http.client.HTTPConnection):
    """http.client over an AF_UNIX socket."""

    def __init__(self, path: Path, timeout: float = 30) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(frozen=True)
class Engine:
    """A running engine: its socket, its namespace, and `share`, a folder that it sees too."""

    name: str
    socket: Path
    share: Path
    namespace: Namespace
    cli: Path

    @property
    def environment(self) -> dict[str, str]:
        """For a docker client: this engine, no user configuration, no hints."""
        config = self.share / "docker-config"
        config.mkdir(exist_ok=True)
        keep = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        return keep | {
            "DOCKER_HOST": f"unix://{self.socket}",
            "DOCKER_CONFIG": str(config),
            "DOCKER_CLI_HINTS": "false",
            "HOME": str(config),
        }

    def docker(
        self, *argv: str, stdin: str | None = None, timeout: float = 30, cli: Path | None = None
    ) -> Result:
        """Run the docker CLI; never raises on a failing exit code. Without `stdin` it is /dev/null."""
        done = subprocess.run(
            [str(cli or self.cli), *argv],
            check=False,
            capture_output=True,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            text=True,
            errors="replace",
            timeout=timeout,
            env=self.environment,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def ok(self, *argv: str, stdin: str | None = None, timeout: float = 30) -> str:
        """Like `docker`, but must exit 0; gives stdout without the last newline."""
        result = self.docker(*argv, stdin=stdin, timeout=timeout)
        assert result.code == 0, f"docker {' '.join(argv)}: exit {result.code}\n{result.out}{result.err}"
        return result.out.rstrip("\n")

    def start(self, *argv: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """A docker CLI in the background with its output in pipes."""
        return subprocess.Popen(
            [str(self.cli), *argv],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
        )

    def api(self, method: str, path: str, body: object = None) -> Answer:
        """One API call with a JSON body."""
        connection = UnixConnection(self.socket)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
            answer = connection.getresponse()
            raw = answer.read()
            try:
                return Answer(answer.status, json.loads(raw) if raw else None)
            except ValueError:
                return Answer(answer.status, raw.decode(errors="replace"))
        finally:
            connection.close()

    def inspect(self, name: str, template: str) -> str:
        """One field of a container, as `docker inspect --format` prints it."""
        return self.ok("inspect", "--format", template, name)

    def wait_for(self, name: str, template: str, wanted: str, seconds: float = 15) -> None:
        """Poll `inspect` until it prints `wanted`."""
        deadline = time.monotonic() + seconds
        while (seen := self.inspect(name, template)) != wanted:
            assert time.monotonic() < deadline, f"{name}: {template} is {seen!r}, not {wanted!r}"
            time.sleep(0.05)

    def wait_until_running(self, name: str, seconds: float = 15) -> None:
        """Poll until the container exists and runs; for a `docker run` that was begun in the background."""
        deadline = time.monotonic() + seconds
        while self.docker("inspect", "-f", "{{.State.Running}}", name).out != "true\n":
            assert time.monotonic() < deadline, f"{name} does not run after {seconds} s"
            time.sleep(0.05)

    def wait_for_log(self, name: str, text: str, seconds: float = 15) -> None:
        """Poll `logs` until `text` is in it."""
        deadline = time.monotonic() + seconds
        while text not in (seen := self.docker("logs", name).out):
            assert time.monotonic() < deadline, f"{name} did not say {text!r} but {seen!r}"
            time.sleep(0.05)

    def clean(self) -> None:
        """Remove all containers, volumes, and images other than busybox."""
        if names := self.ok("ps", "-aq").split():
            self.docker("rm", "-fv", *names)
        if names := self.ok("volume", "ls", "-q").split():
            self.docker("volume", "rm", "-f", *names)
        if names := self.docker("network", "ls", "-q", "--filter", "type=custom").out.split():
            self.docker("network", "rm", *names)
        images = self.ok("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").splitlines()
        for line in images:
            name, identity = line.split(" ")
            if name != "busybox:latest":
                self.docker("rmi", "-f", identity if "<none>" in name else name)
