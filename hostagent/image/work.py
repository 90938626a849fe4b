"""The jobs of a worker, each run in a process of its own that ends with it."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import signal
import time
from collections.abc import Callable
from typing import IO, NoReturn, cast

import msgspec

from hostagent.errors import EngineError, Invalid
from hostagent.image import jail
from hostagent.image.compression import CHUNK, GzipSink, Region, ahead, compression_of, hashed, open_stream
from hostagent.image.fulldisk import Reserve
from hostagent.image.jobs import (
    Answer,
    Applied,
    Apply,
    LocalJob,
    Member,
    Pack,
    Packed,
    Scan,
    Scanned,
    Snapshot,
    Step,
)
from hostagent.image.pack import LivePacker, Packer
from hostagent.image.tar_reader import HARDLINK, REGULAR, SYMLINK, Chunks, TarReader
from hostagent.image.unpack import Unpacker
from hostagent.kernel import constants as c
from hostagent.kernel import libc
from hostagent.registry.media import LAYER_GZIP, layer_type

STEP_INTERVAL = 0.1  # seconds between two progress messages; docker's own
READ_BUFFER = 256 << 10  # bytes

Tell = Callable[[Step], None]


class Pace:
    """Lets a progress message through every STEP_INTERVAL."""

    def __init__(self, tell: Tell, phase: str, total: int) -> None:
        self._tell = tell
        self._phase = phase
        self._total = total
        self._next = 0.0

    def at(self, current: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + STEP_INTERVAL
            self._tell(Step(self._phase, current, self._total))


def perform(job: LocalJob, tell: Tell) -> Answer:
    """Run a job that needs no network."""
    if isinstance(job, Apply):
        return apply(job, tell)
    if isinstance(job, Scan):
        return scan(job)
    if isinstance(job, Snapshot):
        return snapshot(job)
    return pack(job)


def open_new(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def apply(job: Apply, tell: Tell) -> Applied:
    """Unpack one layer, jailed in its directory; check its diff ID."""
    fd = os.open(job.source.path, os.O_RDONLY | os.O_CLOEXEC)
    size = job.source.size if job.source.size >= 0 else os.fstat(fd).st_size - job.source.offset
    head = os.pread(fd, min(8, size), job.source.offset)
    kind = compression_of(head)
    raw = Region(fd, job.source.offset, size)
    stream = cast("IO[bytes]", io.BufferedReader(raw, READ_BUFFER))
    sink_fd = open_new(job.keep) if job.keep is not None else None
    jail.enter(job.into)
    os.umask(0)

    digest = hashlib.sha256()
    pace = Pace(tell, "Extracting", size)
    inflated = hashed(open_stream(stream, head), digest)
    # Registries take gzip and zstd; anything else is stored as gzip.
    sink = GzipSink(sink_fd) if sink_fd is not None and kind not in ("gzip", "zstd") else None

    def prepared() -> bytes:
        piece = inflated()
        if sink is not None:
            sink.write(piece)
        return piece

    pieces = ahead(prepared)
    reserve = Reserve("/")

    def chunk() -> bytes:
        pace.at(raw.consumed)
        piece = pieces()
        reserve.take(len(piece))
        return piece

    unpacker = Unpacker()
    unpacker.run(TarReader(chunk))
    while chunk():  # what follows the end of the tar belongs to the diff ID
        pass
    diff_id = "sha256:" + digest.hexdigest()
    if job.diff_id is not None and diff_id != job.diff_id:
        raise Invalid(
            f"the layer's content is {diff_id}, but the image's configuration says {job.diff_id}: "
            "the image is damaged or was tampered with; nothing was kept"
        )
    tell(Step("Extracting", size, size))
    if sink_fd is None:
        return Applied(diff_id, unpacker.size, unpacker.files)
    if sink is not None:
        return Applied(diff_id, unpacker.size, unpacker.files, sink.finish(), sink.size, LAYER_GZIP)
    stored = _copy(fd, job.source.offset, size, sink_fd)
    return Applied(diff_id, unpacker.size, unpacker.files, stored, size, layer_type(kind))


def _copy(source: int, offset: int, size: int, target: int) -> str:
    """Copy a region; its digest."""
    digest = hashlib.sha256()
    while size:
        piece = os.pread(source, min(CHUNK, size), offset)
        if not piece:
            raise Invalid(f"the archive ends too early: {size} bytes are missing")
        digest.update(piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(target, view) :]
        offset += len(piece)
        size -= len(piece)
    return "sha256:" + digest.hexdigest()


def scan(job: Scan) -> Scanned:
    """List an outer archive's members."""
    path = job.path
    with open(path, "rb") as file:
        head = file.peek(8)[:8]
        if compression_of(head) is not None:
            _inflate(open_stream(file, head), job.inflate)
            path = job.inflate
    encoder = msgspec.json.Encoder()
    with open(path, "rb", buffering=0) as plain, open(job.report, "wb") as report:
        reader = TarReader(lambda: plain.read(CHUNK) or b"")
        for entry in reader:
            if entry.kind in (REGULAR, HARDLINK, SYMLINK):
                name = entry.name.decode("utf-8", "surrogateescape").removeprefix("./")
                link = entry.link.decode("utf-8", "surrogateescape") if entry.kind != REGULAR else ""
                size = entry.size if entry.kind == REGULAR else 0
                report.write(encoder.encode(Member(name, reader.position, size, link)) + b"\n")
    return Scanned(path)


def _inflate(chunks: Chunks, path: str) -> None:
    fd = open_new(path)
    reserve = Reserve(os.path.dirname(path))
    try:
        while piece := chunks():
            reserve.take(len(piece))
            view = memoryview(piece)
            while view:
                view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


def pack(job: Pack) -> Packed:
    """Canonical tar of a layer's directory, hashed, and gzipped into `keep` when that is given."""
    sink = None
    if job.keep is not None:
        sink = GzipSink(open_new(job.keep))
    jail.enter(job.directory)
    digest = hashlib.sha256()

    def put(piece: bytes) -> None:
        digest.update(piece)
        if sink is not None:
            sink.write(piece)

    Packer(put).run()
    diff_id = "sha256:" + digest.hexdigest()
    return Packed(diff_id) if sink is None else Packed(diff_id, sink.finish(), sink.size)


def snapshot(job: Snapshot) -> Applied:
    """Pack in a process that sees the upper directory only, unpack in this one, which sees the new one only.

    The diff ID is that of the canonical tar between them, which a later pack of the new directory gives again.
    """
    source, target = os.pipe2(os.O_CLOEXEC)
    packer = os.fork()
    if packer == 0:
        _pack_into(job, target)
    os.close(target)
    jail.enter(job.into)
    os.umask(0)
    digest = hashlib.sha256()
    chunk = hashed(lambda: os.read(source, CHUNK), digest)
    unpacker = Unpacker()
    unpacker.run(TarReader(chunk))
    while chunk():  # up to the packer's end
        pass
    _, status = os.waitpid(packer, 0)
    if status != 0:
        raise EngineError(
            os.strerror(os.waitstatus_to_exitcode(status)) if os.WIFEXITED(status) else "killed"
        )
    return Applied("sha256:" + digest.hexdigest(), unpacker.size, unpacker.files)


def _pack_into(job: Snapshot, target: int) -> NoReturn:
    """Ends this process; its status is 0 or an errno."""
    status = errno.EIO
    try:
        libc.prctl(c.PR_SET_PDEATHSIG, signal.SIGKILL)
        jail.enter(job.upper)

        def put(piece: bytes) -> None:
            view = memoryview(piece)
            while view:
                view = view[os.write(target, view) :]

        LivePacker(put, frozenset(job.leave_out)).run()
        status = 0
    except OSError as error:
        status = error.errno or errno.EIO
    finally:
        os._exit(status)
