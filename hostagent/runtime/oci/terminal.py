"""The attached forms of run and exec: wait for the program, pass signals on, carry a terminal's bytes."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import termios
import tty
from collections.abc import Callable
from functools import partial

from hostagent.kernel import libc, pty
from hostagent.runtime.birth import Child

_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


class Relay:
    """Our stdin and stdout joined to a terminal's master."""

    def __init__(self) -> None:
        self.master = -1
        self._restore: Callable[[], None] | None = None

    def take(self, master: int) -> None:
        """From here on our own terminal, if stdin is one, is raw: each key is the program's."""
        self.master = master
        if os.isatty(0):
            self._restore = partial(termios.tcsetattr, 0, termios.TCSADRAIN, termios.tcgetattr(0))
            tty.setraw(0)
            self.resize()

    def resize(self) -> None:
        if os.isatty(0):
            rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
            pty.set_size(self.master, rows, columns)

    def release(self) -> None:
        if self._restore is not None:
            self._restore()
            self._restore = None
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


def attend(child: Child, relay: Relay | None) -> int:
    """Until the program ends: its exit code, 128 + n for signal n."""

    def forward(number: int, _frame: object) -> None:
        try:
            libc.pidfd_send_signal(child.pidfd, number)
        except ProcessLookupError:
            pass  # it has just ended

    for number in _PASSED_ON:
        signal.signal(number, forward)
    if relay is not None:
        signal.signal(signal.SIGWINCH, lambda _number, _frame: relay.resize())
        try:
            _carry(relay.master)
        finally:
            relay.release()
    _, status = os.waitpid(child.pid, 0)
    os.close(child.pidfd)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _carry(master: int) -> None:
    """Both ways until the terminal is closed on the other side (EIO) and all its output is written."""
    sources = [master, 0]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if 0 in ready:
            data = os.read(0, 65536)
            if data:
                _write_all(master, data)
            else:
                sources.remove(0)
        if master in ready:
            try:
                data = os.read(master, 65536)
            except OSError:  # EIO: no process has the slave open any more
                return
            if not data:
                return
            _write_all(1, data)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
