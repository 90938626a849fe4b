"""Streams of layers: recognise the compression by its first bytes, inflate, deflate, hash on the way.

gzip by igzip (isal) and zstd by zstandard: several times as fast as zlib. Several gzip members or zstd frames one after
the other are one stream (pigz, stargz write them so). All is imported at once: nothing can be from inside a jail.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import lzma
import os
import queue
import threading
from typing import IO, Protocol, cast

import zstandard
from isal import igzip, isal_zlib

from hostagent.errors import Invalid
from hostagent.image.tar_reader import Chunks

CHUNK = (
    1 << 20
)  # bytes; large enough that Python's cost per piece does not matter, small enough for the CPU's cache

_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
)
# zstd's skippable frames: 0x184D2A50 to 5F, little-endian.
_SKIPPABLE = (b"\x2a\x4d\x18",)


class Hash(Protocol):
    """What hashlib's objects are."""

    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


def compression_of(head: bytes) -> str | None:
    """`gzip`, `zstd`, `bzip2`, `xz`, or None for a plain stream, by at least 6 first bytes."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    return "zstd" if head[1:4] in _SKIPPABLE else None


class Region(io.RawIOBase):
    """A part of an open file as a stream of its own; reads by position, so the fd can be shared."""

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self._fd = fd
        self._offset = offset
        self._left = size
        self.consumed = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # typeshed: Buffer
        view = memoryview(buffer)[: self._left]
        count = os.preadv(self._fd, [view], self._offset) if self._left else 0
        self._offset += count
        self._left -= count
        self.consumed += count
        return count


def open_stream(raw: IO[bytes], head: bytes) -> Chunks:
    """Inflated pieces of `raw`, whose first bytes are `head` (peeked, not consumed).

    The pieces raise Invalid when the compressed data are damaged or end early.
    """
    kind = compression_of(head)
    if kind is None:
        return lambda: raw.read(CHUNK) or b""
    stream: IO[bytes]
    if kind == "gzip":
        stream = cast("IO[bytes]", igzip.open(raw, "rb"))  # type: ignore[no-untyped-call]  # isal has no types there
    elif kind == "zstd":
        reader = zstandard.ZstdDecompressor().stream_reader(raw, read_size=CHUNK, read_across_frames=True)
        stream = reader
    elif kind == "bzip2":
        stream = bz2.BZ2File(raw)
    else:
        stream = lzma.open(raw)  # noqa: SIM115  # the caller owns what is below

    def chunk() -> bytes:
        try:
            return stream.read(CHUNK)
        except EOFError as error:
            raise Invalid(f"the {kind} stream ends too early") from error
        except OSError as error:
            if error.errno is not None:
                raise  # the disk, not the data
            raise Invalid(f"the {kind} stream is damaged: {error}") from error
        except Exception as error:
            # zlib.error, isal_zlib.error, zstandard.ZstdError and lzma.LZMAError have no common base.
            raise Invalid(f"the {kind} stream is damaged: {error}") from error

    return chunk


def hashed(chunks: Chunks, digest: Hash) -> Chunks:
    """Pass the pieces on and hash them."""

    def chunk() -> bytes:
        piece = chunks()
        digest.update(piece)
        return piece

    return chunk


def ahead(chunks: Chunks, pieces: int = 4) -> Chunks:
    """Make up to `pieces` pieces beforehand in a thread: inflating and hashing leave the GIL, so a layer is unpacked on
    two cores (a third less time, measured). For a process that ends soon: an abandoned thread is not stopped.
    """
    made: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()
    room = threading.Semaphore(pieces)

    def make() -> None:
        piece: bytes | BaseException = b"first"
        while piece and not isinstance(piece, BaseException):
            room.acquire()
            try:
                piece = chunks()
            except BaseException as error:  # belongs to whoever reads
                piece = error
            made.put(piece)

    threading.Thread(target=make, daemon=True).start()
    ended = False

    def chunk() -> bytes:
        nonlocal ended
        if ended:
            return b""
        piece = made.get()
        room.release()
        if isinstance(piece, BaseException):
            raise piece
        ended = not piece
        return piece

    return chunk


class GzipSink:
    """Writes a gzip file without a time in it, so that equal input gives equal output; counts and hashes it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        # Level 1: 2 is no smaller on layers and half as fast. 31 = gzip container, 32 KiB window.
        self._deflate = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self._put(self._deflate.compress(data))

    def finish(self) -> str:
        """Write the end; the digest of the whole file."""
        self._put(self._deflate.flush())
        return "sha256:" + self._digest.hexdigest()

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            count = os.write(self._fd, view)
            self._digest.update(view[:count])
            self.size += count
            view = view[count:]
