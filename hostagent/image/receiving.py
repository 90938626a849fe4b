"""A build's context straight from the client's socket, in a process of its own: the daemon does not touch its bytes.

The tar is kept as it comes, as one file, and listed on the way with the digest of each file. Nothing is unpacked: a
build of which nothing has changed needs the digests only, and one COPY of everything writes each file once, into its
layer.
"""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import stat
import time
from typing import IO, cast

import msgspec

from hostagent.image.archived import Archived, Entry, encode
from hostagent.image.buildjobs import ReceiveContext, Received
from hostagent.image.compression import ahead, compression_of, open_stream
from hostagent.image.fulldisk import Reserve
from hostagent.image.incoming import BodyReader, PiecesFile
from hostagent.image.tar_reader import DIRECTORY, HARDLINK, REGULAR, SYMLINK, Chunks, TarReader
from hostagent.image.tar_reader import Entry as Member

_FILE_LIMIT = 16 << 20
"""Bytes of a Dockerfile or .dockerignore."""
_FARTHEST = 1 << 62
"""Nanoseconds; times beyond are no times."""
_SPECIAL = (b"trusted.overlay.", b"user.overlay.")


def receive(job: ReceiveContext) -> Received:
    """Raises Invalid for what is no tar. In a process of its own."""
    body = BodyReader(job.fd, job.early, job.length)
    head = body.piece()
    if not head:
        return Received(0, False)
    spool = os.open(job.spool, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    size = 0
    reserve = Reserve(job.spool)
    inflated = _inflated(body, head)

    def kept() -> bytes:
        nonlocal size
        piece = inflated()
        reserve.take(len(piece))
        view = memoryview(piece)
        while view:
            view = view[os.write(spool, view) :]
        size += len(piece)
        return piece

    pieces = ahead(kept)
    listing = _Listing()
    for member in (reader := TarReader(pieces, open_ended=True)):
        listing.add(member, reader)
    while pieces():  # up to the end of what comes, not only of the archive
        pass
    if listing.plain:
        index = encode(listing.root, listing.entries)
        with open(job.index, "xb") as file:
            file.write(index)
        _take_out(Archived(spool, index), job)
    os.close(spool)
    return Received(size, listing.plain)


def _inflated(body: BodyReader, head: bytes) -> Chunks:
    first = [head]

    def raw() -> bytes:
        return first.pop() if first else body.piece()

    if compression_of(head) is None:
        return raw
    return open_stream(cast("IO[bytes]", io.BufferedReader(PiecesFile(raw), 1 << 20)), head[:8])


class _Listing:
    """`entries` of a tar, as long as it is `plain`: what hostagent.image.archived asks for."""

    def __init__(self) -> None:
        self.plain = True
        self.root = Entry(b"", stat.S_IFDIR | 0o755, time.time_ns())
        self.entries: list[Entry] = []
        self._directories = {b""}
        self._files: dict[bytes, Entry] = {}
        self._others: set[bytes] = set()

    def add(self, member: Member, reader: TarReader) -> None:
        self.plain = self.plain and self._added(member, reader)

    def _added(self, member: Member, reader: TarReader) -> bool:
        path = member.name.removeprefix(b"./").rstrip(b"/")
        if path in (b"", b"."):
            return member.kind == DIRECTORY
        folder = path.rpartition(b"/")[0]
        if (
            folder not in self._directories
            or path in self._directories
            or path in self._files
            or path in self._others
            or posixpath.normpath(path) != path
            or path == b".."
            or path[:1] == b"/"
            or b"\0" in path
            or abs(member.mtime) > _FARTHEST
        ):
            return False
        if member.kind == DIRECTORY:
            self._directories.add(path)
            self.entries.append(Entry(path, stat.S_IFDIR | member.mode, member.mtime))
        elif member.kind == REGULAR:
            self._files[path] = entry = _file(path, member, reader)
            self.entries.append(entry)
        elif member.kind == SYMLINK:
            self._others.add(path)
            self.entries.append(Entry(path, stat.S_IFLNK | 0o777, member.mtime, link=member.link))
        elif member.kind == HARDLINK and (first := self._files.get(member.link.removeprefix(b"./"))):
            self._files[path] = entry = msgspec.structs.replace(
                first, path=path, first=first.first or first.path
            )
            self.entries.append(entry)
        else:
            return False
        return True


def _file(path: bytes, member: Member, reader: TarReader) -> Entry:
    offset = reader.position
    digest = hashlib.sha256()
    for piece in reader.payload():
        digest.update(piece)
    xattrs = {name: value for name, value in member.xattrs.items() if not name.startswith(_SPECIAL)}
    for name in sorted(xattrs, key=os.fsdecode):
        digest.update(name + b"=" + xattrs[name] + b"\0")
    mode = stat.S_IFREG | member.mode
    return Entry(path, mode, member.mtime, member.size, offset, digest.digest(), xattrs=xattrs)


def _take_out(archived: Archived, job: ReceiveContext) -> None:
    """The files that the daemon itself has to read, as `into`/0, `into`/1, …"""
    for number, name in enumerate(job.wanted):
        try:
            item = archived.find(name)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not stat.S_ISREG(item.status.st_mode):
            continue
        content = item.content()
        with open(f"{job.into}/{number}", "xb") as file:
            file.write(os.pread(content.fd, min(item.status.st_size, _FILE_LIMIT), content.offset))
        content.close()
