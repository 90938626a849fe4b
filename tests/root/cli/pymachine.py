"""Drives the pymachine command as a user's shell does: pipes, or a terminal of its own."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from types import TracebackType

from tests.servers.engine import Engine, Result


def command(engine: Engine, *args: str) -> list[str]:
    return [sys.executable, "-m", "tests.root.cli.on_engine", str(engine.socket), *args]


def pymachine(engine: Engine, *args: str, stdin: bytes | None = None, timeout: float = 60) -> Result:
    done = subprocess.run(
        command(engine, *args),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=timeout,
        check=False,
        env=engine.environment,
    )
    return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


class Terminal:
    """A terminal with pymachine in it. `before` is its state before; `state()` what it is now."""

    def __init__(self, engine: Engine, *args: str, size: tuple[int, int] = (40, 120)) -> None:
        self.master, self._slave = pty.openpty()
        self.resize(*size)
        self.before = self.state()
        self._text = b""
        self._process = subprocess.Popen(
            command(engine, *args),
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=engine.environment | {"TERM": "xterm"},
            start_new_session=True,
        )

    def state(self) -> list[object]:
        return list(termios.tcgetattr(self._slave))

    def resize(self, height: int, width: int) -> None:
        termios.tcsetwinsize(self._slave, (height, width))

    def keys(self, text: bytes) -> None:
        os.write(self.master, text)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def expect(self, text: bytes, seconds: float = 20) -> None:
        """Reads until `text` is there; what came before it is taken away."""
        deadline = time.monotonic() + seconds
        while text not in self._text:
            if not self._read(deadline):
                raise AssertionError(f"{text!r} did not come, but: {self._text!r}")
        self._text = self._text.partition(text)[2]

    def end(self, seconds: float = 20) -> tuple[int, bytes]:
        """Exit code, and what came until then."""
        deadline = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < deadline:
            self._read(time.monotonic() + 0.05)
        code = self._process.wait(max(0.1, deadline - time.monotonic()))
        while self._read(time.monotonic() + 0.05):
            pass
        return code, self._text

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            return False
        self._text += os.read(self.master, 65536)
        return True

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self.master)
        os.close(self._slave)
