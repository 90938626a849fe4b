"""Our own OCI runtime as a command: it boots the local hosts."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from machine.errors import MachineError

# systemd's poweroff signal is SIGRTMIN+4 (systemd(1), SIGNALS).
POWEROFF: Final = signal.SIGRTMIN + 4


class _State(msgspec.Struct, frozen=True):
    """The part of the OCI runtime's `state` that matters here (OCI runtime-spec 1.1, runtime.md)."""

    status: str = ""
    pid: int = 0


class Runtime:
    """One container `name`, whose state is kept in `root` (of its own) and whose bundle is `bundle`."""

    def __init__(self, name: str, root: Path, bundle: Path) -> None:
        self.name, self.root, self.bundle = name, root, bundle
        self._lock: int | None = None

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Around every change. Waits for a verb that a killed command has left running.

        The runtime inherits the open lock file, so the lock is held until its verb has ended, even when we are killed
        (flock(2): a lock belongs to the open file description). The container closes it before it does anything.
        """
        self._lock = os.open(self.root.parent / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(self._lock)
            self._lock = None

    def create(self, console: Path) -> int:
        """Creates the container, its first process waiting; returns that process's ID."""
        self.root.mkdir(mode=0o700, exist_ok=True)
        with open(console, "ab") as output:
            begin = output.tell()
            # Not a pipe: the container's first process keeps it for life.
            status = self._run("create", "--bundle", str(self.bundle), stdout=output.fileno()).returncode
        if status != 0:
            said = console.read_bytes()[begin:].decode(errors="replace").strip()
            raise MachineError(f"the runtime could not create {self.name}: {said or status}")
        pid = self._state().pid
        if not pid:
            raise MachineError(f"{self.name} ended before it was started: see {console}")
        return pid

    def start(self) -> None:
        done = self._run("start")
        if done.returncode != 0:
            said = done.stdout.decode(errors="replace").strip()
            raise MachineError(f"the runtime could not start {self.name}: {said or done.returncode}")

    def running(self) -> bool:
        return self._state().status in {"created", "running", "paused"}

    def stop(self, number: int, patience: float) -> bool:
        """Signals the first process and waits; whether it ended within `patience` seconds."""
        pid = self._state().pid
        if not pid:
            return True
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            # Asked again: from here on the descriptor says who is meant, whatever becomes of the number.
            if self._state().pid != pid:
                return True
            signal.pidfd_send_signal(process, number)
            poll = select.poll()
            poll.register(process, select.POLLIN)
            return bool(poll.poll(patience * 1000))
        except ProcessLookupError:
            return True
        finally:
            os.close(process)

    def delete(self) -> None:
        """Ends what is left, and removes cgroups and state. Nothing there is no error."""
        if not (self.root / self.name).is_dir():
            return
        done = self._run("delete", "--force")
        if self.running():
            said = done.stdout.decode(errors="replace").strip()
            raise MachineError(f"the runtime could not end {self.name}: {said or done.returncode}")
        # A power cut in the middle of `create` leaves a state that the runtime itself cannot read.
        shutil.rmtree(self.root / self.name, ignore_errors=True)

    def _state(self) -> _State:
        if not (self.root / self.name).is_dir():
            return _State()
        done = self._run("state")
        return msgspec.json.decode(done.stdout, type=_State) if done.returncode == 0 else _State()

    def _run(
        self, verb: str, *options: str, stdout: int = subprocess.PIPE
    ) -> subprocess.CompletedProcess[bytes]:
        command = [
            sys.executable,
            "-m",
            "hostagent.runtime",
            "--root",
            str(self.root),
            verb,
            *options,
            self.name,
        ]
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            pass_fds=() if self._lock is None else (self._lock,),
            timeout=60,
            check=False,
        )
