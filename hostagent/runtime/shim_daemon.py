"""The daemon as its shim sees it: one connection at a time, the last to come, which may end at any moment.

Nothing is lost with it: what the daemon misses it reads from the exit record and `Status`, and clients that were in its
hands are answered by the shim.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable

from hostagent.kernel import fds
from hostagent.runtime import protocol
from hostagent.runtime.loop import READ, WRITE, Loop

LAST_WORDS_SECONDS = 5.0
"""For a busy daemon to take what it has not heard yet; the exit record says the rest."""


class DaemonLink:
    """Listens for daemons, hears and tells the present one."""

    def __init__(
        self,
        loop: Loop,
        socket_path: str,
        connection: socket.socket,
        act: Callable[[protocol.Message, list[int]], None],
        lost: Callable[[], None],
        answer: Callable[[int], None],
    ) -> None:
        """`connection` is the first daemon's. `act` takes each message, `lost` hears that a daemon is gone, `answer`
        takes a client that waits and that no daemon has answered."""
        self._loop = loop
        self._socket_path = socket_path
        self._act = act
        self._lost = lost
        self._answer = answer
        self._listener = _listen(socket_path)
        self._daemon: socket.socket | None = None
        self._outbox: list[tuple[bytes, list[int]]] = []
        self._handed: list[int] = []
        """Clients that wait, given to the daemon: ours again if it ends before it has read that."""
        self._adopt(connection)

    @property
    def present(self) -> bool:
        return self._daemon is not None

    def open(self) -> None:
        """From now on others are let in."""
        self._loop.watch(
            self._listener.fileno(), READ, lambda _events: self._adopt(self._listener.accept()[0])
        )

    def close(self) -> None:
        """No other daemon comes; the present one is still told."""
        self._loop.unwatch(self._listener.fileno())
        self._listener.close()
        try:
            os.unlink(self._socket_path)
        except FileNotFoundError:
            pass

    def tell(self, message: protocol.Message, *passed: int) -> None:
        """To the daemon, if there is one: what it misses it reads from the exit record and `Status`."""
        if self._daemon:
            self._outbox.append((message.encode(), [os.dup(fd) for fd in passed]))
            self._flush()

    def hand_back(self, clients: list[tuple[int, bool]]) -> None:
        """Clients that wait (a flag: for the removal) are the daemon's to answer, after it has recorded the end."""
        self._handed += [client for client, _ in clients]
        for client, removed in clients:
            self.tell(protocol.Waiting(removed), client)

    def part(self) -> None:
        """Nothing that was sent to us is lost: what comes from now on fails at the sender, what came is answered."""
        if self._daemon is None:
            return
        self._daemon.shutdown(socket.SHUT_RD)
        while self._hear():
            pass
        if self._outbox:
            self._daemon.settimeout(LAST_WORDS_SECONDS)
            self._flush()
        self._see_answered()

    def _see_answered(self) -> None:
        """A daemon that was killed with `Waiting` unread has answered nobody."""
        deadline = time.monotonic() + LAST_WORDS_SECONDS
        while self._handed and self._daemon and fds.unread(self._daemon) and time.monotonic() < deadline:
            time.sleep(0.001)
        # Set when it was closed with something unread (unix(7)).
        if self._handed and self._daemon and self._daemon.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._answer_handed()

    def _answer_handed(self) -> None:
        for client in self._handed:
            self._answer(client)
        self._handed.clear()

    def _adopt(self, daemon: socket.socket) -> None:
        """A (new) daemon: there is one at a time, the last to come."""
        if self._daemon:
            self._lose()
        self._daemon = daemon
        daemon.setblocking(False)
        self._watch()

    def _lose(self, unread: bool = False) -> None:
        """`unread`: it ended before it had read all that it was told."""
        if self._daemon:
            self._loop.unwatch(self._daemon.fileno())
            self._daemon.close()
            self._daemon = None
            if unread or self._outbox:
                self._answer_handed()
            for _, passed in self._outbox:
                for fd in passed:
                    os.close(fd)
            self._outbox.clear()
        self._lost()

    def _hear(self) -> bool:
        """Act on one message; False when there was none."""
        assert self._daemon is not None
        unread = False
        try:
            data, received = fds.recv_message(self._daemon)
        except BlockingIOError:
            return False
        except OSError as error:
            unread = error.errno == errno.ECONNRESET
            data, received = b"", []
        if not data:
            if self._loop.running:
                self._lose(unread)
            return False
        self._act(protocol.decode(data), received)
        return True

    def _flush(self) -> None:
        """A daemon that is slow (or stopped) takes ten messages; the rest waits here, never the container."""
        while self._daemon and self._outbox:
            data, passed = self._outbox[0]
            try:
                fds.send_message(self._daemon, data, passed)
            except BlockingIOError:
                break
            except OSError as error:
                self._lose(error.errno == errno.ECONNRESET)
                return
            del self._outbox[0]
            for fd in passed:
                os.close(fd)
        self._watch()

    def _watch(self) -> None:
        if self._daemon:
            events = READ | (WRITE if self._outbox else 0)
            self._loop.watch(self._daemon.fileno(), events, self._ready)

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if self._daemon and events & ~WRITE:
            self._hear()


def _listen(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    listener.bind(path)
    listener.listen(4)
    return listener
