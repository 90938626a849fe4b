"""A customer's host and the laptop that it is driven from: everything through pymachine and the docker CLI."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from tests.vm.guest import SSH_PORT, USER, Guest, speaks_ssh

ROOT: Final = Path(__file__).parents[2]
NAME: Final = "vm1"


@dataclass(frozen=True)
class Done:
    """A command that ended; texts without the last newline."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Customer:
    """`home` is the laptop's HOME and PYMACHINE_HOME; `docker_cli` a real docker."""

    guest: Guest
    home: Path
    docker_cli: Path

    @property
    def identity(self) -> Path:
        """The owner's private key."""
        return self.home / "id_ed25519"

    def pymachine(self, *argv: str, timeout: float = 300) -> Done:
        return self._run([sys.executable, "-m", "machine.cli.main", *argv], None, timeout, {})

    def docker(self, *argv: str, stdin: str | None = None, timeout: float = 300) -> Done:
        """Never raises on a failing exit code."""
        return self._run([str(self.docker_cli), *argv], stdin, timeout, {"DOCKER_HOST": self.docker_host})

    @cached_property
    def docker_host(self) -> str:
        """What `eval $(pymachine env vm1)` sets DOCKER_HOST to; the keeper behind it stays."""
        lines = self.ok(self.pymachine("env", NAME)).splitlines()
        (line,) = (line for line in lines if line.startswith("export DOCKER_HOST="))
        return line.partition("=")[2].strip("'\"")

    def ok(self, done: Done) -> str:
        assert done.code == 0, done
        return done.out

    def run(self, *argv: str, stdin: str | None = None) -> str:
        """A docker command that has to succeed; its output."""
        return self.ok(self.docker(*argv, stdin=stdin))

    def ssh(self, command: str) -> str:
        """A shell line on the host, which has to succeed."""
        return self.ok(self.pymachine("ssh", NAME, "--", command))

    def plain_ssh(self, command: str) -> str:
        """The same without us, as its owner has always done it."""
        known = self.home / "known_hosts"
        known.write_text(f"[127.0.0.1]:{SSH_PORT} {(self.home / 'host_key.pub').read_text()}\n")
        words = ["ssh", "-p", str(SSH_PORT), "-i", str(self.identity), "-l", USER]
        words += ["-o", f"UserKnownHostsFile={known}", "-o", "LogLevel=ERROR", "127.0.0.1", command]
        return self.ok(self._run(words, None, 120, {}))

    def inspect(self, container: str, form: str) -> str:
        return self.run("inspect", "-f", form, container)

    def in_container(self, command: str, *options: str) -> str:
        """What a shell line prints in a new container that has to end with 0."""
        return self.run("run", "--rm", *options, "busybox", "sh", "-c", command)

    def until(self, condition: Callable[[], bool], patience: float = 300) -> None:
        """Waits for it; AssertionError after `patience` seconds."""
        end = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < end, f"not so after {patience:g} s"
            time.sleep(0.5)

    def until_reachable(self) -> None:
        """The host has booted and lets us in."""
        self.until(speaks_ssh, 300)
        self.until(lambda: self.pymachine("ssh", NAME, "--", "true").code == 0)

    def _run(self, argv: list[str], stdin: str | None, timeout: float, more: dict[str, str]) -> Done:
        keep = {
            key: os.environ[key]
            for key in ("PATH", "PYMACHINE_CACHE", "PYMACHINE_TEST_RUN")
            if key in os.environ
        }
        own = {
            "HOME": str(self.home),
            "PYMACHINE_HOME": str(self.home),
            "NO_COLOR": "1",
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(
            argv,
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=keep | own | more,
            input=stdin or "",
        )
        return Done(done.returncode, done.stdout.rstrip("\n"), done.stderr.rstrip("\n"))
