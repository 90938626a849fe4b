"""File descriptors: owned by a `with`, passed over unix sockets, closed in bulk before exec."""

from __future__ import annotations

import array
import fcntl
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from hostagent.kernel import libc

MAX_MESSAGE = 1 << 18
"""Largest message in bytes that is received whole; what can be sent is less (net.core.wmem_default)."""

MAX_FDS = 253
"""SCM_MAX_FD (unix(7)): more in one message are refused by the kernel."""

_SIOCOUTQ = 0x5411  # linux/sockios.h
_UINT_MAX = 0xFFFFFFFF

# Plain numbers: each | of two enum members runs Python code, and a shim keeps a copy of every page that it runs.
_CUT_OFF = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)
_CLOSE_ON_EXEC = int(socket.MSG_CMSG_CLOEXEC)
_NO_SIGNAL = int(socket.MSG_NOSIGNAL)
_ANCILLARY_SPACE = socket.CMSG_SPACE(MAX_FDS * array.array("i").itemsize)


@contextmanager
def owned(fd: int) -> Iterator[int]:
    """Close `fd` at the end of the block."""
    try:
        yield fd
    finally:
        os.close(fd)


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected SOCK_SEQPACKET sockets, close-on-exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send_message(sock: socket.socket, data: bytes, fds: Sequence[int] = ()) -> None:
    """Send one message, with fds that the receiver gets duplicates of."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([data], ancillary, _NO_SIGNAL)


def recv_message(sock: socket.socket) -> tuple[bytes, list[int]]:
    """Receive one message and the fds in it (close-on-exec); (b"", []) at the end of the stream.

    Raises OSError when the message or its fds were cut off: a half message is never handed on.
    """
    data, ancillary, flags, _ = sock.recvmsg(MAX_MESSAGE, _ANCILLARY_SPACE, _CLOSE_ON_EXEC)
    received = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            received.frombytes(payload[: len(payload) - len(payload) % received.itemsize])
    if flags & _CUT_OFF:
        for fd in received:
            os.close(fd)
        raise OSError(f"message on a unix socket was cut off (over {MAX_MESSAGE} bytes or {MAX_FDS} fds)")
    return data, list(received)


def unread(sock: socket.socket) -> bool:
    """Whether the other end of a unix socket has still to read something that was sent."""
    return any(fcntl.ioctl(sock.fileno(), _SIOCOUTQ, bytes(4)))


def close_all_except(keep: Iterable[int]) -> None:
    """Close every fd of this process that is not in `keep`."""
    first = 0
    for fd in sorted(set(keep)):
        if fd > first:
            libc.close_range(first, fd - 1)
        first = fd + 1
    libc.close_range(first, _UINT_MAX)


def install_stdio(stdin: int, stdout: int, stderr: int) -> None:
    """Make three fds the standard streams of this process.

    Each is first duplicated above 2: the given ones may be 0, 1, 2 themselves, in any order.
    """
    copies = [os.dup(fd) for fd in (stdin, stdout, stderr)]
    while any(fd < 3 for fd in copies):
        copies = [os.dup(fd) for fd in copies]
    for number, copy in enumerate(copies):
        os.dup2(copy, number, inheritable=True)
        os.close(copy)
