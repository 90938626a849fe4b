"""The daemon's connection to one shim: messages out (with fds), messages in, and the end of it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence

from hostagent.kernel import fds
from hostagent.runtime import protocol

Undelivered = Callable[[protocol.Message, tuple[int, ...]], None]
OnMessage = Callable[["ShimLink", protocol.Message, list[int]], None]


class ShimLink:
    """One SOCK_SEQPACKET connection, read by the event loop. `closed` is done when the shim is gone.

    A unix socket takes only net.unix.max_dgram_qlen (10) unread messages, so what does not fit waits here.
    """

    def __init__(self, connection: socket.socket, on_message: OnMessage, undelivered: Undelivered) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = connection
        self._socket.setblocking(False)
        self._on_message = on_message
        self._undelivered = undelivered
        self._outbox: deque[tuple[protocol.Message, tuple[int, ...]]] = deque()
        self.heard = False
        """Whether the shim ever said anything: if not, its birth failed."""
        self.version = protocol.VERSION
        """Of the protocol that the shim speaks: ours, until an older one says otherwise."""
        self._unheard: list[tuple[protocol.Message, tuple[int, ...]]] = []
        """What was sent to a shim that has not said anything: it may never be born, and then nobody has got it."""
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(connection.fileno(), self._read)

    def send(self, message: protocol.Message, passed: Sequence[int] = ()) -> None:
        """Send now or soon; the fds are taken over (closed here once sent). What a shim that is gone did not take goes
        to `undelivered`, fds and all."""
        if self.closed.done():
            self._undelivered(message, tuple(passed))
            return
        self._outbox.append((message, tuple(passed)))
        if len(self._outbox) == 1:
            self._flush()

    def _flush(self) -> None:
        while self._outbox:
            message, passed = self._outbox[0]
            try:
                fds.send_message(self._socket, message.encode(), passed)
            except BlockingIOError:
                self._loop.add_writer(self._socket.fileno(), self._writable)
                return
            except OSError:
                # It does not listen any more; what it still has to say is read to its end.
                self._give_up()
                return
            self._outbox.popleft()
            if self.heard:
                _close_all(passed)
            else:
                self._unheard.append((message, passed))

    def _writable(self) -> None:
        self._loop.remove_writer(self._socket.fileno())
        self._flush()

    def _read(self) -> None:
        """All that is there: a client whose stream ended asks at once for the exit code that came before."""
        while not self.closed.done():
            try:
                data, received = fds.recv_message(self._socket)
            except BlockingIOError:
                return
            except OSError:
                data, received = b"", []
            if not data:
                self._close()
                return
            if not self.heard:
                self.heard = True
                for _, passed in self._unheard:
                    _close_all(passed)
                self._unheard.clear()
            self._on_message(self, protocol.decode(data), received)

    def _close(self) -> None:
        if self.closed.done():
            return
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        self._give_up()
        self.closed.set_result(None)

    def _give_up(self) -> None:
        lost = (*self._unheard, *self._outbox)
        self._unheard.clear()
        self._outbox.clear()
        for message, passed in lost:
            self._undelivered(message, passed)

    def leave(self) -> None:
        """The daemon ends; the shim goes on."""
        self._close()


def _close_all(fds_: Sequence[int]) -> None:
    for fd in fds_:
        os.close(fd)
