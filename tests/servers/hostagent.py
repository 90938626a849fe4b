"""Our daemon, bare: no systemd and no machine, in a PID, mount and network namespace of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.leaks import ENGINE, TAG, adopt
from tests.servers.cgroups import children, processes, remove_cgroup
from tests.servers.engine import REGISTRY_PORT, Engine
from tests.servers.namespace import Namespace, children_of, command_line, connect

START_SECONDS = 20
SOURCE = Path(__file__).resolve().parents[2]


class Daemon:
    """A daemon that tests may kill and start again; containers belong to the namespace, not to it."""

    def __init__(
        self, engine: Engine, work: Path, parent: str, options: Sequence[str] = (), checked: bool = True
    ) -> None:
        self.engine, self._work, self._parent, self._options = engine, work, parent, options
        self._checked = checked
        self._process: subprocess.Popen[bytes] | None = None
        self._log = work / "daemon.log"
        self._shapes = work / "shapes"
        self._reported: set[str] = set()
        self.source = SOURCE
        """The tree whose code the next start runs."""

    @property
    def environment(self) -> dict[str, str]:
        """For programs of the engine's tree: nsenter goes to the root folder of the mount namespace."""
        return os.environ | {"PYTHONPATH": str(self.source), "PYTHONFAULTHANDLER": "1"}

    @property
    def parent(self) -> str:
        """Its cgroup parent, below the root of every hierarchy."""
        return self._parent

    @property
    def containers(self) -> Path:
        """Where the directories of its containers are."""
        return self._work / "root/containers"

    @property
    def shims(self) -> Path:
        """Where the sockets of its shims are."""
        return self._work / "run/shims"

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.engine.namespace.command(self._command()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
            )
        adopt(self._process.pid)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"hostagent did not start:\n{self.log()[-3000:]}")
            time.sleep(0.02)

    def log(self) -> str:
        """Everything that its incarnations wrote to stdout and stderr."""
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """PID of the daemon itself (nsenter forks to enter a PID namespace)."""
        assert self._process
        (pid,) = children_of(self._process.pid)
        return pid

    @property
    def launcher_pid(self) -> int | None:
        """PID of its launcher; None while it is being respawned."""
        for pid in children_of(self.pid):
            if "launcher" in command_line(pid):
                return pid
        return None

    def ensure(self) -> None:
        """Start it again if a test ended it."""
        if self._process is None or self._process.poll() is not None:
            self.start()

    def residue(self, seconds: float = 5) -> list[str]:
        """What containers left on the host although all are removed; waits a little for it to go.

        A thing is reported once: the test that left it fails, and not those after it.
        """
        deadline = time.monotonic() + seconds
        while left := self._left() - self._reported:
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        self._reported |= left
        return sorted(left)

    def wrong_shapes(self) -> list[str]:
        """What its answers since the last call had that tests/data/api does not allow."""
        if not self._shapes.exists():
            return []
        lines = self._shapes.read_text().splitlines()
        self._shapes.unlink()
        return list(dict.fromkeys(lines))

    def _left(self) -> set[str]:
        return {*self._processes(), *self._mounts(), *self._links(), *self._folders(), *self._groups()}

    def _processes(self) -> Iterator[str]:
        for pid in processes(f"{self._parent}"):
            if pid not in (self.pid, self.launcher_pid):
                yield f"process {pid} in the engine's cgroup: {command_line(pid)}"

    def _mounts(self) -> Iterator[str]:
        with open(f"/proc/{self.engine.namespace.pid}/mountinfo") as file:
            points = [line.split(" ", 5)[4] for line in file]
        yield from (f"mount {point}" for point in points if point.startswith(str(self._work)))

    def _links(self) -> Iterator[str]:
        lines = self.engine.namespace.run(["ip", "-o", "link", "show", "type", "veth"]).stdout.splitlines()
        yield from (f"interface {line.split(': ')[1]}" for line in lines if ": eth0@" not in line)

    def _folders(self) -> Iterator[str]:
        for folder in ("root/containers", "root/volumes", "run/shims"):
            path = self._work / folder
            if path.is_dir():
                yield from (f"file {entry}" for entry in path.iterdir())

    def _groups(self) -> Iterator[str]:
        yield from (f"cgroup {path}" for path in children(f"{self._parent}/c"))

    def kill(self) -> None:
        """kill -9 the daemon."""
        assert self._process
        os.kill(self.pid, signal.SIGKILL)
        self._process.wait(10)

    def stop(self) -> None:
        """End it as systemd would: SIGTERM, and SIGKILL when it does not go."""
        assert self._process
        if self._process.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

    def _answers(self) -> bool:
        try:
            return self.engine.api("GET", "/_ping").status == 200
        except OSError:
            return False

    def _command(self) -> list[str]:
        work = self._work
        command = [sys.executable, "-m"]
        command += ["tests.servers.checked", str(self._shapes)] if self._checked else ["hostagent.daemon"]
        command += ["--root", f"{work}/root", "--run", f"{work}/run"]
        command += [
            "--host",
            f"unix://{self.engine.socket}",
            "--bridge",
            "pm0",
            "--cgroup-parent",
            self._parent,
        ]
        return [*command, "--insecure-registry", f"127.0.0.1:{REGISTRY_PORT}", *self._options]


@contextmanager
def hostagent(
    cli: Path,
    *options: str,
    files: Mapping[str, str] | None = None,
    source: Path = SOURCE,
    checked: bool = True,
) -> Iterator[Daemon]:
    """A running daemon of the tree `source`; `cli` is the docker client that its Engine uses. `files` are the host's
    as it sees them. Unless its answers are to be `checked`, it is exactly what a host runs."""
    with (
        tempfile.TemporaryDirectory(prefix="pmt-agent-", ignore_cleanup_errors=True) as name,
        Namespace() as outside,
        Namespace(processes=True) as inside,
    ):
        work, parent = Path(name), f"/{TAG}{ENGINE}-{name[-8:]}"
        engine = Engine("hostagent", work / "docker.sock", work / "share", inside, cli)
        engine.share.mkdir()
        give_uplink(inside, outside)
        for path, text in (files or {}).items():
            own = work / path.replace("/", "_")
            own.write_text(text)
            inside.run(["mount", "--bind", str(own), path])
        daemon = Daemon(engine, work, parent, options, checked)
        daemon.source = source
        try:
            daemon.start()
            yield daemon
            daemon.stop()
        finally:
            inside.close()
            remove_cgroup(parent)


def give_uplink(inside: Namespace, outside: Namespace) -> None:
    """A default route that leads to `outside`: an engine has a way out, but no internet."""
    connect(outside, inside, "198.51.100.1/24", "198.51.100.2/24", name="eth0")
    inside.run(["ip", "route", "add", "default", "via", "198.51.100.1"])
