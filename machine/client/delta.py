"""Sends a build's context to a host that keeps what it had before: only what it lacks travels."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import zstandard

from hostagent.wire.context import (
    DIRECTORY,
    FIFO,
    FILE,
    FRAME,
    HARD_LINK,
    SYMLINK,
    ContextEntry,
    ContextLacks,
    ContextPiece,
    context_id,
    encode_entries,
    encode_pieces,
)
from machine.client.build_context import Entry
from machine.client.digest_cache import DigestCache
from machine.client.docker_builds import Builds
from machine.errors import MachineError

BATCH: Final = 128 * 1024 * 1024
"""Bytes of contents in one request: what has arrived stays, so a broken line costs no more than this."""
_PIECE: Final = 1024 * 1024
_GATHERED: Final = 256 * 1024
_CUT: Final = 127
"""A piece of the list ends where the path's checksum says so: a new file changes its own piece only."""

Sent = Callable[[int, int], None]
"""Hears how many bytes of how many were sent."""


@dataclass(frozen=True)
class Context:
    """All that is sent, by digest."""

    name: str
    directory: str
    entries: list[ContextEntry]
    pieces: list[ContextPiece]

    @property
    def id(self) -> str:
        return context_id(piece.digest for piece in self.pieces)


@dataclass(frozen=True)
class _Part:
    """`length` bytes of a file from `offset`."""

    path: str
    digest: bytes
    size: int
    offset: int
    length: int


def read(directory: str, walked: Iterable[Entry]) -> Context:
    """The context of a directory; "" has no files. Raises Usage for what cannot be read."""
    name = _name(directory)
    found = list(walked)
    files = [
        (entry.path, entry.status)
        for entry in found
        if stat.S_ISREG(entry.status.st_mode) and not entry.link and entry.status.st_size
    ]
    digests = DigestCache(name).digests(directory, files) if files else {}
    entries = [_entry(entry, digests) for entry in found]
    pieces = [ContextPiece(hashlib.sha256(data).digest(), data) for data in _cut(entries)]
    return Context(name, directory, entries, pieces)


def send(builds: Builds, context: Context, sent: Sent, passing: Sent = lambda _done, _total: None) -> None:
    """Afterwards the host has all of it. What arrives stays there, also when this is broken off. `sent` hears of what
    the host has said that it has, `passing` of what is on its way."""
    state = builds.context_state(context.name, context.id)
    if state.ready:
        return
    known = set(state.pieces)
    lacking = [
        ContextPiece(piece.digest, b"" if piece.digest.hex() in known else piece.data)
        for piece in context.pieces
    ]
    lacks = builds.describe_context(
        context.name, context.id, zstandard.ZstdCompressor().compress(encode_pieces(lacking))
    )
    parts = list(_parts(context, lacks))
    total, done = sum(part.length for part in parts), 0

    def heard(size: int) -> None:
        nonlocal done
        done += size
        passing(done, total)

    for batch in _batches(parts):
        builds.send_contents(_stream(batch, heard))
        sent(done, total)


def _name(directory: str) -> str:
    """One for each directory of each computer and user."""
    parts = (socket.gethostname(), str(os.getuid()), os.path.realpath(directory) if directory else "")
    return hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:32]


def _entry(entry: Entry, digests: dict[str, bytes]) -> ContextEntry:
    status = entry.status
    path, mode, moment = os.fsencode(entry.path), stat.S_IMODE(status.st_mode), status.st_mtime_ns
    if entry.is_hard_link:
        return ContextEntry(path, HARD_LINK, 0, 0, 0, os.fsencode(entry.link))
    if stat.S_ISLNK(status.st_mode):
        return ContextEntry(path, SYMLINK, 0o777, moment, 0, os.fsencode(entry.link))
    if stat.S_ISDIR(status.st_mode):
        return ContextEntry(path, DIRECTORY, mode, moment)
    if stat.S_ISFIFO(status.st_mode):
        return ContextEntry(path, FIFO, mode, moment)
    return ContextEntry(path, FILE, mode, moment, status.st_size, digests.get(entry.path, b""))


def _cut(entries: list[ContextEntry]) -> Iterator[bytes]:
    piece: list[ContextEntry] = []
    for entry in entries:
        piece.append(entry)
        if not zlib.crc32(entry.path) & _CUT:
            yield encode_entries(piece)
            piece = []
    if piece:
        yield encode_entries(piece)


def _parts(context: Context, lacks: ContextLacks) -> Iterator[_Part]:
    for number in lacks.missing:
        entry = context.entries[number]
        offset = min(lacks.begun.get(entry.content.hex(), 0), entry.size)
        path = os.path.join(context.directory, os.fsdecode(entry.path))
        while offset < entry.size or offset == entry.size == lacks.begun.get(entry.content.hex()):
            length = min(BATCH, entry.size - offset)
            yield _Part(path, entry.content, entry.size, offset, length)
            offset += max(length, 1)


def _batches(parts: list[_Part]) -> Iterator[list[_Part]]:
    batch: list[_Part] = []
    size = 0
    for part in parts:
        if batch and size + part.length > BATCH:
            yield batch
            batch, size = [], 0
        batch.append(part)
        size += part.length
    if batch:
        yield batch


def _stream(parts: list[_Part], heard: Callable[[int], None]) -> Iterator[bytes]:
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    packed: list[bytes] = []
    size = taken = 0
    for part in parts:
        packed.append(packer.compress(FRAME.pack(part.digest, part.size, part.offset, part.length)))
        for piece in _content(part):
            packed.append(packer.compress(piece))
            size += len(packed[-1])
            taken += len(piece)
        # A chunk of the request for many files: each costs the other side something.
        if size >= _GATHERED:
            yield b"".join(packed)
            heard(taken)
            packed, size, taken = [], 0, 0
    yield b"".join(packed) + packer.flush()
    heard(taken)


def _content(part: _Part) -> Iterator[bytes]:
    left = part.length
    try:
        with open(part.path, "rb", buffering=0) as file:
            file.seek(part.offset)
            while left:
                piece = file.read(min(_PIECE, left))
                if not piece:
                    raise MachineError(f"{part.path} became shorter while it was sent: try again")
                left -= len(piece)
                yield piece
    except OSError as error:
        raise MachineError(f"cannot read {part.path}: {error.strerror}") from error
