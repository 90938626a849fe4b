"""A person at a terminal: a program on a pty that the test types into."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping


class Terminal:
    """`argv` with a new pty as its controlling terminal; a context manager that ends it."""

    def __init__(
        self, argv: list[str], environment: Mapping[str, str], rows: int = 24, columns: int = 80
    ) -> None:
        self._master, slave = os.openpty()
        self.resize(rows, columns)
        self.settings = termios.tcgetattr(slave)
        # setsid -c makes the pty the controlling terminal: Ctrl-C and SIGWINCH then arrive as for a person.
        self.process = subprocess.Popen(
            ["setsid", "-w", "-c", *argv], stdin=slave, stdout=slave, stderr=slave, env=dict(environment)
        )
        self._slave = slave
        self.text = ""

    def resize(self, rows: int, columns: int) -> None:
        """Change the window's size; the program gets SIGWINCH."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def expect(self, pattern: str, seconds: float = 15) -> str:
        """Read until `pattern` (a regular expression) is on the screen; the match is consumed with what is before."""
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self.text)):
            left = deadline - time.monotonic()
            assert left > 0, f"waited {seconds} s for {pattern!r}; the screen shows {self.text!r}"
            if select.select([self._master], [], [], min(left, 0.2))[0]:
                self.text += os.read(self._master, 65536).decode(errors="replace")
        self.text = self.text[match.end() :]
        return match.group(0)

    def wait(self, seconds: float = 15) -> int:
        """Exit code of the program; also reads what it still prints, so that it does not block."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"still running; the screen shows {self.text!r}"
            if select.select([self._master], [], [], 0.05)[0]:
                self.text += os.read(self._master, 65536).decode(errors="replace")
        return self.process.returncode

    def is_restored(self) -> bool:
        """Whether the terminal's modes are what they were before the program ran."""
        return termios.tcgetattr(self._slave) == self.settings

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
        os.close(self._slave)
