"""A build's context as the tar that any Docker engine takes."""

from __future__ import annotations

import io
import os
import secrets
import stat
import tarfile
from collections.abc import Iterable, Iterator
from typing import Final

from machine.client.build_context import IGNORE, Entry
from machine.errors import MachineError

_PIECE: Final = 1024 * 1024
_BLOCK: Final = tarfile.BLOCKSIZE


def pack(
    directory: str, entries: Iterable[Entry], extra: Iterable[tuple[str, bytes]] = ()
) -> Iterator[bytes]:
    """The entries, all of them root's, and files of these names and contents in the place of those."""
    instead = dict(extra)
    for entry in entries:
        if entry.path not in instead:
            yield from _member(directory, entry)
    for name, content in instead.items():
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(content), 0o600
        yield info.tobuf(tarfile.PAX_FORMAT) + content + bytes(-len(content) % _BLOCK)
    yield bytes(2 * _BLOCK)


def hidden_dockerfile(text: bytes, ignore: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    """A name for a Dockerfile from elsewhere and the files that bring it, which COPY does not see.

    Engines remove from a context what its .dockerignore names, after reading it: docker's own client counts on that.
    """
    name = f".dockerfile.{secrets.token_hex(10)}"
    lines = [ignore.rstrip(b"\n"), name.encode()]
    return name, [
        (name, text),
        (IGNORE, b"\n".join(line for line in (*lines, IGNORE.encode()) if line) + b"\n"),
    ]


def _member(directory: str, entry: Entry) -> Iterator[bytes]:
    status = entry.status
    info = tarfile.TarInfo(entry.path)
    info.mode, info.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
    if entry.link:
        info.type = tarfile.LNKTYPE if entry.is_hard_link else tarfile.SYMTYPE
        info.linkname = entry.link
    elif stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
    elif stat.S_ISFIFO(status.st_mode):
        info.type = tarfile.FIFOTYPE
    else:
        info.size = status.st_size
    yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    if info.isreg() and info.size:
        yield from _content(os.path.join(directory, entry.path), info.size)


def _content(path: str, size: int) -> Iterator[bytes]:
    left = size
    try:
        with open(path, "rb", buffering=0) as file:
            while left:
                piece = file.read(min(_PIECE, left))
                if not piece:
                    raise MachineError(f"{path} became shorter while it was read: try again")
                left -= len(piece)
                yield piece
    except OSError as error:
        raise MachineError(
            f"cannot read {path} ({error.strerror}): mend that, or name it in {IGNORE}"
        ) from error
    yield bytes(-size % _BLOCK)


def is_archive(head: bytes) -> bool:
    """Whether a stream that begins so is a tar, compressed or not, and no Dockerfile."""
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")):
        return True
    try:
        with tarfile.open(fileobj=io.BytesIO(head), mode="r:") as archive:
            return archive.next() is not None
    except tarfile.TarError:
        return False
