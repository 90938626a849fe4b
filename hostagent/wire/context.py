"""A build's context as it is sent in parts: what /pymachine/v1/contexts and /pymachine/v1/contents speak.

A context is a list of entries, parents first. The list is cut into pieces, each named by the SHA-256 of its bytes, and
the context by that of its pieces' digests one after the other. See docs/adr/0017.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable

import msgspec

from hostagent.wire.base import Wire, shown

FRAME = struct.Struct(">32sQQQ")
"""Before each part of a content in the stream of contents, which is zstd: SHA-256 of the whole content, its size, where
the part begins, its length (bytes)."""

DIRECTORY, FILE, SYMLINK, HARD_LINK, FIFO = "d", "f", "l", "h", "p"


class ContextEntry(msgspec.Struct, frozen=True, array_like=True):
    """One path. `mode` has the permission bits; `content`: SHA-256 of a file (32 bytes, b"" when it is empty), target
    of a symlink, path of the entry that a hard link is another name of."""

    path: bytes
    kind: str
    mode: int
    mtime_ns: int
    size: int = 0
    content: bytes = b""


class ContextPiece(msgspec.Struct, frozen=True, array_like=True):
    """Some entries as they are hashed: msgpack. `data` b"" = the host has it."""

    digest: bytes
    data: bytes = b""


class ContextState(Wire, frozen=True, kw_only=True):
    """`ready`: the host has this very context. Else the digests (hex) of pieces that it has of its name."""

    ready: bool = shown(False)
    pieces: list[str] = shown([])


class ContextLacks(Wire, frozen=True, kw_only=True):
    """Which contents the host lacks: numbers of entries; `begun`: bytes that it has already, by digest (hex)."""

    missing: list[int] = shown([])
    begun: dict[str, int] = shown({})


class BuildInput(Wire, frozen=True, kw_only=True):
    """Body of POST /pymachine/v1/build: the Dockerfile, and secrets by ID."""

    dockerfile: bytes = shown(b"")
    secrets: dict[str, bytes] = shown({})


def encode_entries(entries: list[ContextEntry]) -> bytes:
    return msgspec.msgpack.encode(entries)


def decode_entries(data: bytes) -> list[ContextEntry]:
    """Raises ValueError."""
    return msgspec.msgpack.decode(data, type=list[ContextEntry])


def encode_pieces(pieces: Iterable[ContextPiece]) -> bytes:
    return msgspec.msgpack.encode(list(pieces))


def decode_pieces(data: bytes) -> list[ContextPiece]:
    """Raises ValueError."""
    return msgspec.msgpack.decode(data, type=list[ContextPiece])


def context_id(digests: Iterable[bytes]) -> str:
    """The name of a context by its content (hex)."""
    return hashlib.sha256(b"".join(digests)).hexdigest()
