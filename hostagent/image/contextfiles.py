"""Jobs of a build's context that comes in parts: what is missing, contents into the store, the tree."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from contextlib import suppress
from typing import IO, cast

import zstandard

from hostagent.errors import EngineError, Invalid
from hostagent.image import jail
from hostagent.image.contents import CHUNK, Contents, check
from hostagent.image.contextjobs import ContextJob, FindMissing, MakeContext, PackPlain, StoreContents
from hostagent.image.incoming import BodyReader, PiecesFile
from hostagent.image.jobs import Done
from hostagent.image.pack import Packer
from hostagent.image.trees import remove_tree
from hostagent.wire import encode
from hostagent.wire.context import (
    DIRECTORY,
    FIFO,
    FILE,
    FRAME,
    HARD_LINK,
    SYMLINK,
    ContextEntry,
    ContextLacks,
    decode_entries,
    decode_pieces,
)

_KINDS = frozenset({DIRECTORY, FILE, SYMLINK, HARD_LINK, FIFO})


def perform(job: ContextJob) -> Done:
    """In a worker's process for one job."""
    os.umask(0)
    match job:
        case FindMissing():
            _find_missing(job)
        case StoreContents():
            _store(job)
        case MakeContext():
            _make(job)
        case PackPlain():
            _pack(job)
    return Done()


def entries_of(path: str) -> list[ContextEntry]:
    """Of a manifest in which no path leads out of its tree. Raises Invalid.

    Each entry's directory is an entry before it, so that no symlink of the tree is ever on the way to another entry.
    """
    try:
        with open(path, "rb") as file:
            found = [entry for piece in decode_pieces(file.read()) for entry in decode_entries(piece.data)]
    except ValueError as error:
        raise Invalid(f"the list of the context's files cannot be read: {error}") from None
    directories, files = {b""}, set()
    for entry in found:
        parent, _, name = entry.path.rpartition(b"/")
        if (
            name in (b"", b".", b"..")
            or b"\0" in name
            or parent not in directories
            or entry.kind not in _KINDS
        ):
            raise Invalid(f"the list of the context's files has an entry that cannot be: {entry.path!r}")
        if entry.path in directories or entry.path in files:
            raise Invalid(f"the list of the context's files has an entry twice: {entry.path!r}")
        if entry.kind == HARD_LINK and entry.content not in files:
            raise Invalid(f"the list of the context's files has a link to nothing: {entry.path!r}")
        if entry.kind == FILE and len(entry.content) != (32 if entry.size else 0):
            raise Invalid(f"the list of the context's files has a file without a digest: {entry.path!r}")
        if entry.kind == DIRECTORY:
            directories.add(entry.path)
        elif entry.kind in (FILE, FIFO):
            files.add(entry.path)
    return found


def _find_missing(job: FindMissing) -> None:
    contents = Contents(job.files)
    asked: set[bytes] = set()
    missing: list[int] = []
    begun: dict[str, int] = {}
    for number, entry in enumerate(entries_of(job.manifest)):
        if entry.kind != FILE or not entry.size or entry.content in asked:
            continue
        digest = entry.content.hex()
        if contents.find(digest) is None:
            asked.add(entry.content)
            missing.append(number)
            try:
                begun[digest] = os.stat(f"{job.parts}/{digest}").st_size
            except FileNotFoundError:
                continue
    with open(job.report, "wb") as report:
        report.write(encode(ContextLacks(missing=missing, begun=begun)))


def _store(job: StoreContents) -> None:
    done: list[tuple[str, str]] = []
    contents = Contents(job.files)
    body = PiecesFile(BodyReader(job.fd, job.early, job.length).piece)
    try:
        with (
            cast("IO[bytes]", io.BufferedReader(body, CHUNK)) as packed,
            zstandard.ZstdDecompressor().stream_reader(
                packed, read_size=CHUNK, read_across_frames=True
            ) as stream,
        ):
            while len(head := _read(stream, FRAME.size)) == FRAME.size:
                digest, size, offset, length = FRAME.unpack(head)
                path = f"{job.own}/{digest.hex()}"
                if offset:
                    _resume(job, digest.hex())
                there, found = _part(stream, path, offset, length)
                if there == size:
                    # What came in one piece was hashed on its way; the rest is read once more.
                    check(path, digest.hex(), found if length == size else None)
                    done.append((path, digest.hex()))
    except zstandard.ZstdError as error:
        raise Invalid(f"the contents that came cannot be unpacked: {error}") from None
    finally:
        contents.adopt(done)
        for name in os.listdir(job.own):
            os.rename(f"{job.own}/{name}", f"{job.parts}/{name}")


def _resume(job: StoreContents, digest: str) -> None:
    """What came of it earlier becomes ours; nothing, if somebody else was quicker."""
    if not os.path.exists(f"{job.own}/{digest}"):
        with suppress(FileNotFoundError):
            os.rename(f"{job.parts}/{digest}", f"{job.own}/{digest}")


def _part(stream: zstandard.ZstdDecompressionReader, path: str, offset: int, length: int) -> tuple[int, str]:
    """Put a part at its place; the size of what is there now, and the SHA-256 of the part. A stream that breaks off is
    no error."""
    digest = hashlib.sha256()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        there = os.fstat(fd).st_size
        if there < offset:
            raise Invalid("a content came with a hole in it: ask again what is missing")
        if there > offset:
            os.ftruncate(fd, offset)
        os.lseek(fd, offset, os.SEEK_SET)
        while length:
            piece = stream.read(min(CHUNK, length))
            if not piece:
                break
            length -= len(piece)
            digest.update(piece)
            view = memoryview(piece)
            while view:
                view = view[os.write(fd, view) :]
        return os.fstat(fd).st_size, digest.hexdigest()
    finally:
        os.close(fd)


def _read(stream: zstandard.ZstdDecompressionReader, size: int) -> bytes:
    found = b""
    while len(found) < size and (piece := stream.read(size - len(found))):
        found += piece
    return found


def _make(job: MakeContext) -> None:
    """From the tree before to this one: what differs goes, what is new comes. `id` is gone meanwhile."""
    before: dict[bytes, ContextEntry] = {}
    if os.path.exists(f"{job.slot}/id"):
        before = {entry.path: entry for entry in entries_of(f"{job.slot}/manifest")}
        os.unlink(f"{job.slot}/id")
    else:
        remove_tree(os.fsencode(f"{job.slot}/fs"))
        os.mkdir(f"{job.slot}/fs", 0o755)
    after = entries_of(job.manifest)
    os.chdir(f"{job.slot}/fs")
    kept = _remove(before, after)
    _add(Contents(job.files), after, kept)
    os.rename(job.manifest, f"{job.slot}/manifest")
    _finish(job.slot, job.id)


def _remove(before: dict[bytes, ContextEntry], after: list[ContextEntry]) -> set[bytes]:
    """Delete what is not to be; the paths that stay."""
    kept: set[bytes] = set()
    for entry in after:
        old = before.get(entry.path)
        if old is None or old.kind != entry.kind:
            continue
        # A directory's mode and time are set anyway; a hard link stays with its file only.
        if entry.kind == DIRECTORY or (old == entry and (entry.kind != HARD_LINK or entry.content in kept)):
            kept.add(entry.path)
    doomed = [entry for path, entry in before.items() if path not in kept]
    for entry in reversed(doomed):  # what is in a directory comes after it
        if entry.kind == DIRECTORY:
            os.rmdir(entry.path)
        else:
            os.unlink(entry.path)
    return kept


def _add(contents: Contents, after: list[ContextEntry], kept: set[bytes]) -> None:
    linked = {_look(entry) for entry in after if entry.path in kept and entry.kind == FILE}
    for entry in after:
        if entry.path in kept:
            continue
        match entry.kind:
            case "d":
                os.mkdir(entry.path, 0o700)
            case "f" if not entry.size:
                os.close(os.open(entry.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
                _dress(entry)
            case "f" if _look(entry) in linked:
                contents.copy(entry, entry.path)
            case "f":
                contents.link(entry, entry.path)
                linked.add(_look(entry))
            case "l":
                os.symlink(entry.content, entry.path)
                os.utime(entry.path, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)
            case "h":
                os.link(entry.content, entry.path)
            case _:
                os.mkfifo(entry.path)
                _dress(entry)
    for entry in reversed(after):
        if entry.kind == DIRECTORY:
            _dress(entry)


def _pack(job: PackPlain) -> None:
    fd = os.open(job.into, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    jail.enter(job.directory)
    digest = hashlib.sha256()

    def put(piece: bytes) -> None:
        digest.update(piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(fd, view) :]

    Packer(put).run()
    if f"sha256:{digest.hexdigest()}" != job.diff_id:
        raise EngineError(f"the layer {job.diff_id} was changed on the engine's disk: make its image again")


def _look(entry: ContextEntry) -> tuple[bytes, int, int]:
    """What two entries have in common when one stored file could serve both."""
    return entry.content, entry.mode, entry.mtime_ns


def _dress(entry: ContextEntry) -> None:
    os.chmod(entry.path, stat.S_IMODE(entry.mode))
    os.utime(entry.path, ns=(entry.mtime_ns, entry.mtime_ns))


def _finish(slot: str, name: str) -> None:
    """On disk with all before it: a journal keeps the order."""
    with open(f"{slot}/id.new", "wb") as file:
        _write_id(file, name)
    os.rename(f"{slot}/id.new", f"{slot}/id")


def _write_id(file: IO[bytes], name: str) -> None:
    file.write(name.encode())
    file.flush()
    os.fsync(file.fileno())
