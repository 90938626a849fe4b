"""The body of a request, read from the client's socket itself by a process of its own.

Chunks (RFC 9112, 7.1) of the docker CLI are as small as 512 bytes, some hundred thousand to a context: here one costs
a microsecond, where a whole HTTP parser takes thirty.
"""

from __future__ import annotations

import io
import os
import select

from hostagent.errors import Invalid
from hostagent.image.tar_reader import Chunks

_READ = 1 << 18
_PIECE = 1 << 20
"""Bytes that are gathered, as long as they are there without waiting."""
_LINE_LIMIT = 1 << 12
_GONE = "the client went away before the end of its request"


class BodyReader:
    """`fd` is non-blocking; `early` are bytes from before it. `length` in bytes, -1 for a body in chunks."""

    def __init__(self, fd: int, early: bytes, length: int) -> None:
        self._fd = fd
        self._rest = early
        self._left = max(0, length)
        self._chunked = length < 0
        self._between = False  # a chunk is over, its line end is still to come
        self._trailing = False  # the last chunk was there, lines up to an empty one follow
        self._ended = not length

    def piece(self) -> bytes:
        """The next bytes; b"" at the end. Raises Invalid when the client breaks off or speaks something else."""
        out: list[memoryview] = []
        total = 0
        data, self._rest = self._rest, b""
        while not self._ended and total < _PIECE:
            if not data:
                more = self._read(wait=not total)
                if more is None:
                    break
                data = more
            took = len(out)
            data = self._decoded(data, out)
            total += sum(map(len, out[took:]))
            if data and not self._ended:
                # Half a line: what follows it has to be put behind it.
                more = self._read(wait=not total)
                if more is None:
                    break
                data += more
        self._rest = data
        return b"".join(out)

    def _read(self, *, wait: bool) -> bytes | None:
        """None when nothing is there and nobody wants to wait."""
        while True:
            try:
                data = os.read(self._fd, _READ)
            except BlockingIOError:
                if not wait:
                    return None
                poll = select.poll()
                poll.register(self._fd, select.POLLIN)
                poll.poll()
                continue
            except ConnectionResetError:
                raise Invalid(_GONE) from None
            if not data:
                raise Invalid(_GONE)
            return data

    def _decoded(self, data: bytes, out: list[memoryview]) -> bytes:
        """Append what of `data` is content; what cannot be understood before more comes is left."""
        view, at, end = memoryview(data), 0, len(data)
        while at < end and not self._ended:
            if self._left:
                count = min(self._left, end - at)
                out.append(view[at : at + count])
                at += count
                self._left -= count
                self._between = self._chunked
                self._ended = not (self._left or self._chunked)
                continue
            stop = data.find(b"\r\n", at)
            if stop < 0:
                if end - at > _LINE_LIMIT:
                    raise Invalid("the request's body is broken: a chunk's head has no end")
                break
            line, at = data[at:stop], stop + 2
            if self._trailing:
                self._ended = not line
            elif self._between:
                if line:
                    raise Invalid("the request's body is broken: a chunk is longer than it says")
                self._between = False
            else:
                self._left = _size(line)
                self._trailing = not self._left
        return data[at:]


def _size(line: bytes) -> int:
    """Of a chunk, by its head."""
    digits = line.partition(b";")[0].strip()
    if not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
        raise Invalid(f"the request's body is broken: {line[:40]!r} is no size of a chunk")
    return int(digits, 16)


class PiecesFile(io.RawIOBase):
    """Pieces, of which an empty one is the end, as a file."""

    def __init__(self, pieces: Chunks) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # typeshed: Buffer
        self._rest = self._rest or memoryview(self._pieces())
        view = memoryview(buffer)[: len(self._rest)]
        view[:] = self._rest[: len(view)]
        self._rest = self._rest[len(view) :]
        return len(view)
