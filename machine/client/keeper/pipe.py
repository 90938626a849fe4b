"""One local connection and its channel: bytes both ways, each way ended on its own.

From the host: paramiko's thread hands over what it has decrypted (`feed`), which goes straight into the local
socket if that has room, else into a queue that the loop empties. The host may send more only when the local
program has taken what is there, so a slow reader stops its own stream and no other.
To the host: the loop reads no more than the channel's window, so no send waits for one slow channel.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import select
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from machine.ssh.streamlocal import grant
from machine.ssh.turns import Turns

if TYPE_CHECKING:
    import paramiko

log = logging.getLogger("keeper")
_PIECE: Final = 64 * 1024  # to the host at a turn: others wait for no more than that
_GRANT: Final = 1024 * 1024  # bytes taken before the host hears of it: an eighth of the window


class _Arrivals:
    """Stands in for paramiko's `Channel.in_buffer`: what arrives is handed on at once instead of being stored."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def feed(self, data: bytes) -> None:
        self._pipe.feed(data)

    def close(self) -> None:
        """The peer's half is over, or all of it: the channel's flags say which."""
        self._pipe.wake()


class _Window:
    """Stands in for `Channel.out_buffer_cv`: paramiko notifies it when the peer has granted more."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def notify_all(self) -> None:
        self._pipe.wake()


class Pipe:
    """Made on the loop's thread; `ended` is called there once, when the connection and the channel are over."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ended: Callable[[Pipe], None]) -> None:
        self._loop = loop
        self._ended = ended
        self._sock: socket.socket | None = None
        self._channel: paramiko.Channel | None = None
        self._turns: Turns | None = None
        self._reading = False
        self._input_over = False  # the local program has closed its half
        self._output_over = False  # its reading half is closed by us
        self._over = False
        self._lock = threading.Lock()  # guards what follows: both threads write into the socket
        self._queue: deque[memoryview] = deque()
        self._deaf = False  # the local program reads no more
        self._taken = 0
        self._woken = False

    # -- called by the keeper, on the loop's thread

    def attach(self, channel: paramiko.Channel) -> None:
        """Before the channel's first byte can come; also from paramiko's thread for channels that the host opens."""
        inner: Any = channel
        inner.in_buffer = _Arrivals(self)
        inner.out_buffer_cv = _Window(self)
        self._turns = Turns(channel)
        self._channel = channel

    def connect(self, sock: socket.socket) -> None:
        """The local end is there: from now on bytes flow both ways. The pipe owns `sock`."""
        sock.setblocking(False)
        with self._lock:
            self._sock = sock
        self._loop.add_writer(sock, self._flush)
        self._resume()

    def close(self) -> None:
        """Ends both sides now; what is queued is lost."""
        self._finish()

    def notice_hangup(self) -> None:
        """Ends the pipe of a program that closed its half first and all of it later, which wakes nobody."""
        if self._input_over and not self._over and self._vanished():
            self._finish()

    # -- called by paramiko's thread

    def feed(self, data: bytes) -> None:
        rest = memoryview(data)
        with self._lock:
            if self._sock is not None and not self._queue:
                rest = rest[self._write(rest) :]
            if not rest:
                return
            self._queue.append(rest)
            first = len(self._queue) == 1 and self._sock is not None
        if first:
            self._soon(self._want_to_write)

    def wake(self) -> None:
        with self._lock:
            if self._woken:
                return
            self._woken = True
        self._soon(self._look)

    # -- from the host to the local program

    def _write(self, data: memoryview) -> int:
        """Bytes disposed of, under the lock; a program that reads no more disposes of everything."""
        assert self._sock is not None
        done = len(data)
        if not self._deaf:
            try:
                done = self._sock.send(data)
            except BlockingIOError:
                return 0
            except OSError:
                self._deaf = True
                self._soon(self._finish)
        self._taken += done
        if self._taken >= _GRANT:
            taken, self._taken = self._taken, 0
            # Not from here: while keys are renewed paramiko's thread would wait for itself.
            self._soon(self._grant, taken)
        return done

    def _want_to_write(self) -> None:
        if self._sock is not None and not self._over:
            self._loop.add_writer(self._sock, self._flush)

    def _flush(self) -> None:
        assert self._sock is not None
        with self._lock:
            while self._queue:
                piece = self._queue[0]
                done = self._write(piece)
                if done < len(piece):
                    self._queue[0] = piece[done:]
                    return
                self._queue.popleft()
        self._loop.remove_writer(self._sock)
        self._look()

    def _grant(self, size: int) -> None:
        channel = self._channel
        if channel is not None and not channel.closed and not channel.eof_received:
            self._guarded(lambda: grant(channel, size))

    # -- from the local program to the host

    def _resume(self) -> None:
        if self._sock is not None and not self._reading and not self._input_over and not self._over:
            self._reading = True
            self._loop.add_reader(self._sock, self._readable)

    def _pause(self) -> None:
        if self._sock is not None and self._reading:
            self._reading = False
            self._loop.remove_reader(self._sock)

    def _readable(self) -> None:
        assert self._sock is not None
        channel, turns = self._channel, self._turns
        if channel is None or turns is None or not channel.active or channel.closed:
            self._pause()  # not open yet (or no longer): `_look` goes on
            return
        if channel.out_window_size <= 0:
            self._pause()
            if channel.out_window_size > 0:  # granted between the two looks
                self._resume()
            return
        try:
            data = self._sock.recv(min(_PIECE, channel.out_window_size))
        except BlockingIOError:
            return
        except OSError:
            self._finish()
            return
        if data:
            self._guarded(lambda: turns.send(data))
            return
        self._input_over = True
        self._pause()
        self._guarded(turns.end)
        if self._vanished():
            # Not a half-close: there is nobody left who could read.
            self._finish()
        else:
            self._look()

    def _vanished(self) -> bool:
        """Whether the local program has closed its socket altogether (unix(7): that hangs up both halves)."""
        assert self._sock is not None
        poll = select.poll()
        poll.register(self._sock, 0)
        return any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))

    # -- both

    def _look(self) -> None:
        """Something about the channel has changed: opened, more window, the peer's end of input, closed."""
        with self._lock:
            self._woken = False
            drained = not self._queue
        channel = self._channel
        if self._over or channel is None or self._sock is None:
            return
        if channel.active and not channel.closed and channel.out_window_size > 0:
            self._resume()
        if not drained or not (channel.eof_received or channel.closed):
            return
        if not self._output_over:
            self._output_over = True
            try:
                self._sock.shutdown(socket.SHUT_WR)
            except OSError as error:
                if error.errno != errno.ENOTCONN:
                    raise
        if channel.closed or self._input_over:
            self._finish()

    def _finish(self) -> None:
        if self._over:
            return
        self._over = True
        with self._lock:
            sock, self._sock = self._sock, None
            self._queue.clear()
        if sock is not None:
            self._loop.remove_reader(sock)
            self._loop.remove_writer(sock)
            sock.close()
        if self._turns is not None:
            self._guarded(self._turns.close)
        self._ended(self)

    def _guarded(self, send: Callable[[], object]) -> None:
        """Sends on the channel; a connection that is gone ends this pipe, and the link finds out for itself."""
        from paramiko import SSHException

        try:
            send()
        except (OSError, EOFError, SSHException) as error:
            log.info("a channel broke: %s", str(error) or type(error).__name__)
            if not self._over:
                self._finish()

    def _soon(self, call: Callable[..., object], *arguments: object) -> None:
        post(self._loop, call, *arguments)


def post(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *arguments: object) -> None:
    """Has the loop's thread call it, from any thread; nothing once the loop is closed (the keeper has ended)."""
    try:
        loop.call_soon_threadsafe(call, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise
