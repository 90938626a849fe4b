"""A laptop of the test's own: a network namespace, a home, and whatever is made from there."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from machine.model.machine import Machine
from machine.store.store import Store
from machine.workflow.prepare import prepare
from tests.servers.namespace import Namespace
from tests.tools import need, need_root

ROOT = Path(__file__).parents[3]


class Laptop:
    """Runs the workflow's verbs inside the namespace, with a home of its own. `output`: of a fixture's `create`."""

    def __init__(self, namespace: Namespace, home: Path) -> None:
        self.namespace = namespace
        self.home = home
        self.store = Store(home)
        self.output = ""

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYMACHINE_HOME": str(self.home)}

    def process(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.root.local_driver.tool", *arguments]
        return subprocess.Popen(
            self.namespace.command(command),
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *arguments: str, status: int = 0, timeout: float = 180) -> str:
        """What the verb printed; its stderr when it was to fail."""
        with self.process(*arguments) as process:
            try:
                stdout, stderr = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert process.returncode == status, f"{arguments}: {process.returncode}\n{stdout}\n{stderr}"
        return stdout if status == 0 else stdout + stderr

    def ssh(self, name: str, command: str, status: int = 0) -> str:
        return self.call("ssh", name, command, status=status).strip()

    def machine(self, name: str) -> Machine:
        return self.store.get(name)

    def links(self) -> set[str]:
        """Names of interfaces, but the loopback's."""
        lines = self.namespace.run(["ip", "-o", "link"]).stdout.splitlines()
        return {
            match[1] for line in lines if (match := re.match(r"\d+: ([^:@]+)", line)) and match[1] != "lo"
        }

    def tables(self) -> str:
        return self.namespace.run(["nft", "list", "tables"]).stdout.strip()

    def remains(self) -> list[str]:
        """What is left of machines: processes, cgroups, interfaces, tables, files."""
        deadline = time.monotonic() + 2  # the last process may still wait for its parent, the laptop's PID 1
        while (left := self._remains()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def _remains(self) -> list[str]:
        tag = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:8]
        # os.walk passes over groups of others that vanish meanwhile.
        cgroups = [path for path, _, _ in os.walk("/sys/fs/cgroup") if tag in path]
        processes = [pid for pid in os.listdir("/proc") if pid.isdigit() and tag in _cgroup(pid)]
        files = [str(path) for path in self.home.rglob("*")] if self.home.exists() else []
        mounts = [
            line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(self.home) in line
        ]
        return [*cgroups, *processes, *files, *mounts, *self.links(), *self.tables().splitlines()]


def _cgroup(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return ""


@pytest.fixture(scope="session")
def caches() -> None:
    """Made where there is a network: the laptops of the tests have none."""
    for tool, package in (("mmdebstrap", "mmdebstrap"), ("nft", "nftables"), ("setpriv", "util-linux")):
        need(tool, package)
    prepare(Store(), "local", lambda text: None)


@pytest.fixture
def computer(caches: None, laptop: Namespace, tmp_path: Path) -> Iterator[Laptop]:
    """A laptop; whatever a failed test left on it is removed."""
    made = Laptop(laptop, tmp_path / "home")
    yield made
    clear(made)


MIRROR = "http://mirror.example:5000"


@pytest.fixture(scope="session")
def shared(caches: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """A laptop with a machine dev1 (made with MIRROR), for tests that leave it as it was."""
    need_root()
    with Namespace() as namespace:
        made = Laptop(namespace, tmp_path_factory.mktemp("shared") / "home")
        try:
            made.output = made.call("create", "dev1", MIRROR)
            yield made
        finally:
            clear(made)


def clear(computer: Laptop) -> None:
    for name in computer.store.names():
        computer.call("rm", name)
