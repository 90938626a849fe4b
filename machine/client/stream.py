"""A connection that has become a raw byte stream (attach, exec), and Docker's 8-byte frames on it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final

from machine.errors import Unavailable

_PIECE: Final = 256 * 1024
# Docker's multiplexing (API, ContainerAttach): stream (0 stdin, 1 stdout, 2 stderr), three zeros, length.
_HEADER: Final = struct.Struct(">BxxxL")


class Stream:
    """Both directions of a hijacked connection; owner of the socket. Half-close is native: `close_write`."""

    def __init__(self, sock: socket.socket, early: bytes, *, multiplexed: bool) -> None:
        self.multiplexed = multiplexed
        self._sock = sock
        self._early = early

    def fileno(self) -> int:
        """For select; look at `pending` first."""
        return self._sock.fileno()

    @property
    def pending(self) -> bool:
        """Whether `read` has bytes that came with the answer's head, which select does not see."""
        return bool(self._early)

    def read(self, size: int = _PIECE) -> bytes:
        """What is there, at least one byte; b"" at the end. Blocks."""
        if self._early:
            data, self._early = self._early[:size], self._early[size:]
            return data
        try:
            return self._sock.recv(size)
        except ConnectionResetError:
            return b""

    def write(self, data: bytes) -> None:
        """Sends all of it; blocks. BrokenPipeError: the far side reads no more."""
        self._sock.sendall(data)

    def close_write(self) -> None:
        """End of our input; what the far side still writes can be read."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is gone altogether: the reader sees that

    def close(self) -> None:
        self._sock.close()

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """(1 stdout or 2 stderr, bytes) as they come; all is 1 when the stream is not multiplexed."""
        pieces = iter(self.read, b"")
        return demultiplex(pieces) if self.multiplexed else ((1, piece) for piece in pieces)

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Demultiplexer:
    """Sans-IO: raw pieces in, (stream, bytes) out. Long frames are passed on before they are complete."""

    def __init__(self) -> None:
        self._header = b""
        self._stream = 1
        self._left = 0

    @property
    def in_frame(self) -> bool:
        """Whether an end here would cut off a frame."""
        return bool(self._left or self._header)

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        rest = memoryview(piece)
        while rest:
            if self._left:
                data, rest = rest[: self._left], rest[self._left :]
                self._left -= len(data)
                yield self._stream, bytes(data)
                continue
            missing = _HEADER.size - len(self._header)
            self._header += rest[:missing]
            rest = rest[missing:]
            if len(self._header) == _HEADER.size:
                self._stream, self._left = _HEADER.unpack(self._header)
                self._header = b""
                if self._stream > 3 or self._stream == 0:
                    raise Unavailable(
                        f"the engine sent a frame of the unknown stream {self._stream}: it is not multiplexed"
                    )


def demultiplex(pieces: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Frames of a whole stream. Raises Unavailable when it ends inside a frame."""
    machine = Demultiplexer()
    for piece in pieces:
        yield from machine.feed(piece)
    if machine.in_frame:
        raise Unavailable("the connection to the engine broke in the middle of the output")
