"""The TCP socket under paramiko, with what paramiko leaves out.

paramiko reads every packet with two recv calls and wakes ten times a second when idle; Nagle's algorithm
stays on and a silent peer is never noticed. This socket-like object reads ahead, sleeps, and knows when it
last heard something.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import paramiko

READ_AHEAD: Final = 256 * 1024
HANDSHAKE_TICK: Final = 1.0  # seconds; paramiko looks at its own deadlines when a read times out
IDLE_TICK: Final = 30.0


class Wire:
    """A connected stream as paramiko wants one; owner of it. Through a jump host it is a channel there."""

    def __init__(self, sock: socket.socket | paramiko.Channel) -> None:
        self._sock = sock
        self._ahead = memoryview(b"")
        self._closed = False  # read by paramiko.Transport.stop_thread
        self.last_heard = time.monotonic()  # seconds, when bytes last came from the peer
        if isinstance(sock, socket.socket):
            _tune(sock)
        sock.settimeout(HANDSHAKE_TICK)

    def settle(self) -> None:
        """The handshake is over: wake up seldom from now on (`close` still wakes the reader at once)."""
        self._sock.settimeout(IDLE_TICK)

    def settimeout(self, timeout: float | None) -> None:
        """paramiko asks for 0.1 s in order to notice its own `close`; ours wakes the reader, so no need."""

    def recv(self, size: int) -> bytes:
        if not self._ahead:
            data = self._sock.recv(READ_AHEAD)
            self.last_heard = time.monotonic()
            if len(data) <= size:
                return data
            self._ahead = memoryview(data)
        piece, self._ahead = self._ahead[:size], self._ahead[size:]
        return bytes(piece)

    def send(self, data: bytes) -> int:
        return self._sock.send(data)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            # A reader blocked in recv is not woken by close(2) alone.
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the peer was faster
        self._sock.close()

    def fileno(self) -> int:
        return self._sock.fileno()

    def getpeername(self) -> object:
        return self._sock.getpeername()


def _tune(sock: socket.socket) -> None:
    """No Nagle; the kernel gives up a silent peer after about 20 s instead of 15 minutes (tcp(7))."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {
        "TCP_KEEPIDLE": 10,
        "TCP_KEEPINTVL": 5,
        "TCP_KEEPCNT": 2,
        "TCP_USER_TIMEOUT": 20_000,
        # What waits in the kernel cannot be overtaken: a small request should not queue behind megabytes.
        "TCP_NOTSENT_LOWAT": 256 * 1024,
    }
    for name, value in options.items():
        option = getattr(socket, name, None)  # macOS lacks some of them
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
