"""A person with pymachine on a laptop: the command in a network namespace, with folders of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from machine.ssh.keys import generate
from tests.servers.engine import Engine, Result
from tests.servers.namespace import Namespace

PYMACHINE = Path(sys.executable).with_name("pymachine")


@dataclass(frozen=True)
class Laptop:
    """`home` is PYMACHINE_HOME; commands run in `namespace`, which has loopback and what they make.

    `extra` is added to the environment.
    """

    namespace: Namespace
    home: Path
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """For pymachine: these folders, no colours, no terminal."""
        keep = {
            key: os.environ[key]
            for key in ("PATH", "LANG", "PYMACHINE_CACHE", "PYMACHINE_TEST_RUN", "PYTHONPATH")
            if key in os.environ
        }
        return keep | {
            "PYMACHINE_HOME": str(self.home),
            "HOME": str(self.home),
            "NO_COLOR": "1",
            **self.extra,
        }

    def pymachine(self, *argv: str, stdin: str | None = None, timeout: float = 120) -> Result:
        """Run it; never raises on a failing exit code."""
        done = subprocess.run(
            self.command(*argv),
            check=False,
            capture_output=True,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            text=True,
            timeout=timeout,
            env=self.environment,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def command(self, *argv: str) -> list[str]:
        """The words that run pymachine in the namespace."""
        return self.namespace.command([str(PYMACHINE), *argv])

    def ok(self, *argv: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Like `pymachine`, but must exit 0; gives stdout without the last newline."""
        result = self.pymachine(*argv, stdin=stdin, timeout=timeout)
        assert result.code == 0, f"pymachine {' '.join(argv)}: exit {result.code}\n{result.out}{result.err}"
        return result.out.rstrip("\n")

    def make_key(self) -> None:
        """A person's own SSH key."""
        pair, folder = generate("me"), self.home / ".ssh"
        folder.mkdir(mode=0o700)
        for name, text in (("id_ed25519", pair.private), ("id_ed25519.pub", pair.public)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)

    def another(self, name: str) -> Laptop:
        """A laptop beside this one, with an empty home."""
        home = self.home / name
        home.mkdir()
        return replace(self, home=home)

    def variables(self, machine: str) -> dict[str, str]:
        """What `eval $(pymachine env MACHINE)` sets."""
        script = f'eval "$({PYMACHINE} env {machine})"; env -0'
        done = subprocess.run(
            self.namespace.command(["sh", "-euc", script]),
            check=True,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=60,
        )
        return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)

    def engine(self, machine: str, cli: Path) -> Engine:
        """The machine's engine through the socket that `pymachine env` names."""
        host = self.variables(machine)["DOCKER_HOST"]
        share = self.home / "share"
        share.mkdir(exist_ok=True)
        return Engine(machine, Path(host.removeprefix("unix://")), share, self.namespace, cli)


@contextmanager
def laptop() -> Iterator[Laptop]:
    """A fresh laptop; afterwards all its machines are removed and nothing of them may be left."""
    # A real disk and a short path: the machine's disk is an overlay, the keeper's socket a unix socket.
    home = Path(tempfile.mkdtemp(prefix="pmt-home-", dir="/var/tmp"))
    with Namespace(processes=True) as namespace:
        made = Laptop(namespace, home)
        try:
            yield made
        finally:
            for machine in (home / "machines").glob("*") if (home / "machines").is_dir() else []:
                made.pymachine("rm", "--yes", machine.name)
    shutil.rmtree(home, ignore_errors=True)
