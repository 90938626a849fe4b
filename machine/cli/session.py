"""Joins the user's terminal or pipes to a process far away: until it ends, or the user detaches.

The main thread carries output and reacts to signals; a second thread carries input, since both directions may
block at the same time (`cat big | pymachine run -i IMAGE cat`).
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final

from machine.cli import terminal
from machine.cli.ending import Ended
from machine.client.stream import Demultiplexer, Stream
from machine.errors import DaemonError, Unavailable

_PIECE: Final = 64 * 1024
_STDIN, _STDOUT, _STDERR = 0, 1, 2
# Not to be forwarded: the kernel's own, those that stop us, and those about our children or terminal.
_OURS: Final = frozenset(
    {
        signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG, signal.SIGWINCH,
        signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCONT, signal.SIGSEGV, signal.SIGBUS,
        signal.SIGFPE, signal.SIGILL, signal.SIGSYS, signal.SIGTRAP, signal.SIGABRT, signal.SIGPROF,
        signal.SIGVTALRM, signal.SIGALRM, signal.SIGXCPU, signal.SIGXFSZ,
    }
)  # fmt: skip
_PROXIED: Final = frozenset(signal.valid_signals()) - _OURS
_FATAL: Final = frozenset({signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
_PATIENCE: Final = 3


@dataclass(frozen=True)
class Far:
    """The far process: what this session may ask of it. `resize(height, width)`, `kill("SIGINT")`."""

    stream: Stream
    tty: bool
    stdin: bool
    resize: Callable[[int, int], None]
    kill: Callable[[str], None] | None = None
    detach_keys: bytes = terminal.parse_detach_keys(terminal.DEFAULT_DETACH_KEYS)


def join(far: Far) -> bool:
    """Carries bytes both ways until the output ends (True) or the user detaches (False).

    The terminal is as before afterwards, whatever ends this: an error, a signal, the connection.
    """
    with ExitStack() as stack:
        wake = stack.enter_context(_signals(far))
        if far.tty and far.stdin and os.isatty(_STDIN):
            stack.enter_context(terminal.raw(_STDIN))
        _resize(far)
        source = stack.enter_context(_Input(far, wake)) if far.stdin else None
        return _carry_output(far, wake, source)


def _carry_output(far: Far, wake: _Wake, source: _Input | None) -> bool:
    frames = Demultiplexer()
    poll = select.poll()
    poll.register(far.stream.fileno(), select.POLLIN)
    poll.register(wake.reader, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll(0 if far.stream.pending else None)}
        if wake.reader in ready:
            wake.act()
            if source is not None and source.detached:
                return False
        if far.stream.pending or far.stream.fileno() in ready:
            data = far.stream.read(_PIECE)
            if not data:
                if frames.in_frame:
                    raise Unavailable("the connection to the engine broke in the middle of the output")
                return True
            for channel, piece in frames.feed(data) if far.stream.multiplexed else [(1, data)]:
                write_all(_STDERR if channel == 2 else _STDOUT, piece)


def write_all(fd: int, data: bytes) -> None:
    """Writes all of it. BrokenPipeError: the reader is gone."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            # Somebody who shares our terminal made it non-blocking.
            select.select([], [fd], [])


class _Input:
    """The thread that carries input. On leaving it has stopped, and has taken no byte that it did not send."""

    def __init__(self, far: Far, wake: _Wake) -> None:
        self.detached = False
        self._far = far
        self._wake = wake
        self._stop, self._stopper = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._carry, name="input", daemon=True)

    def __enter__(self) -> _Input:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._stopper)
        # It may hang in a write that nobody reads: closing our side is what ends that.
        self._thread.join(0.05)
        if self._thread.is_alive():
            self._far.stream.close_write()
            self._thread.join(1)
        os.close(self._stop)

    def _carry(self) -> None:
        keys = terminal.DetachFilter(self._far.detach_keys if self._far.tty and os.isatty(_STDIN) else b"")
        try:
            while True:
                ready, _, _ = select.select([_STDIN, self._stop], [], [])
                if self._stop in ready:
                    return
                data = os.read(_STDIN, _PIECE)
                if not data:
                    break
                passed, detach = keys.feed(data)
                if passed:
                    self._far.stream.write(passed)
                if detach:
                    self.detached = True
                    self._wake.call()
                    return
        except OSError:
            pass  # the far side reads no more, or our terminal is gone: the output tells how it ends
        self._far.stream.close_write()


class _Wake:
    """Signals and the input thread wake the poll of the main thread through a pipe."""

    def __init__(self, far: Far) -> None:
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._far = far
        self._interrupts = 0

    def call(self) -> None:
        os.write(self.writer, b"\0")

    def act(self) -> None:
        """Does what the signals that have arrived ask for. Raises Ended."""
        for number in set(os.read(self.reader, 256)) - {0}:
            if number == signal.SIGWINCH:
                _resize(self._far)
            elif self._far.kill is None:
                raise Ended(number)
            else:
                self._proxy(number, self._far.kill)

    def _proxy(self, number: int, kill: Callable[[str], None]) -> None:
        if number in (signal.SIGINT, signal.SIGTERM):
            self._interrupts += 1
            if self._interrupts >= _PATIENCE:
                raise Ended(number)
        try:
            kill(signal.Signals(number).name)
        except DaemonError:
            pass  # it has just ended: the output says so next


@contextmanager
def _signals(far: Far) -> Iterator[_Wake]:
    """SIGWINCH resizes; all others are passed on, or (a terminal: keys do that) end us in an orderly way."""
    wake = _Wake(far)
    watched = {signal.SIGWINCH, *(_PROXIED if far.kill is not None else _FATAL)}
    before = {number: signal.signal(number, _ignore) for number in sorted(watched)}
    old = signal.set_wakeup_fd(wake.writer, warn_on_full_buffer=False)
    try:
        yield wake
    finally:
        signal.set_wakeup_fd(old)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(wake.reader)
        os.close(wake.writer)


def _ignore(number: int, frame: FrameType | None) -> None:
    """The number arrives through the wake-up pipe."""


def _resize(far: Far) -> None:
    found = terminal.size(_STDOUT) or terminal.size(_STDIN) if far.tty else None
    if found is not None:
        try:
            far.resize(*found)
        except DaemonError:
            pass  # not started yet, or just ended: the next change tries again
