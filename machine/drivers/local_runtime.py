"""Our own OCI runtime as a command: it boots the local hosts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from machine.errors import MachineError


class _State(msgspec.Struct, frozen=True):
    """The part of the OCI runtime's `state` that matters here (OCI runtime-spec 1.1, runtime.md)."""

    status: str = ""
    pid: int = 0


@dataclass(frozen=True)
class Runtime:
    """One container `name`, whose state is kept in `root` and whose bundle is `bundle`."""

    name: str
    root: Path
    bundle: Path

    def create(self, console: Path) -> int:
        """Creates the container, its first process waiting; returns that process's ID."""
        with open(console, "ab") as output:
            self._call("create", "--bundle", str(self.bundle), self.name, output=output)
        state = self._state()
        if state is None or not state.pid:
            raise MachineError(f"the runtime made {self.name} but does not know its process: see {console}")
        return state.pid

    def start(self) -> None:
        self._call("start", self.name)

    def running(self) -> bool:
        state = self._state()
        return state is not None and state.status in {"created", "running", "paused"}

    def exists(self) -> bool:
        return self._state() is not None

    def stop(self, signal: str, patience: float) -> bool:
        """Sends `signal` and waits; whether it ended within `patience` seconds."""
        self._call("kill", self.name, signal, check=False)
        end = time.monotonic() + patience
        while self.running():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def delete(self) -> None:
        """Kills what is left, and removes cgroups and state. Nothing there is no error."""
        if self.root.is_dir():
            self._call("delete", "--force", self.name, check=self.exists())

    def _state(self) -> _State | None:
        if not self.root.is_dir():
            return None
        answer = self._call("state", self.name, check=False)
        return msgspec.json.decode(answer, type=_State) if answer else None

    def _call(self, verb: str, *arguments: str, check: bool = True, output: object = None) -> bytes:
        """Runs a verb. `output`: an open file for the container's own console."""
        command = [sys.executable, "-m", "hostagent.runtime", "--root", str(self.root), verb, *arguments]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output if output is not None else subprocess.PIPE,  # type: ignore[call-overload]  # IO or int
            stderr=output if output is not None else subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            timeout=60,
            check=False,
        )
        stdout: bytes = done.stdout or b""
        if done.returncode == 0:
            return stdout
        if check:
            said = (done.stderr or b"").decode(errors="replace").strip()
            raise MachineError(f"the runtime's `{verb} {self.name}` failed: {said or done.returncode}")
        return b""
