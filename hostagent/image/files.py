"""The jobs about a container's files, each in a process of its own that sees nothing but them."""

from __future__ import annotations

import io
import os
import posixpath
import stat
from collections.abc import Sequence
from typing import IO, cast

from hostagent import wire
from hostagent.errors import EngineError, Invalid, NotFound
from hostagent.image import archiving, containerroot
from hostagent.image.compression import open_stream
from hostagent.image.extract import Extractor, reason
from hostagent.image.filejobs import CopyIn, CopyOut, Export, FileJob, StatPath
from hostagent.image.jobs import Done
from hostagent.image.pack import Put
from hostagent.image.tar_reader import TarReader

HEAD = 10  # bytes by which a compression is recognised
PASSWD_LIMIT = 16 << 20  # bytes; the file is the container's


def perform(job: FileJob) -> Done:
    """Run one job. What is not there raises NotFound without a text: only the engine knows how it was asked for."""
    way = os.O_RDONLY if isinstance(job, CopyIn) else os.O_WRONLY
    pipe = os.open(job.source if isinstance(job, CopyIn) else job.into, way | os.O_CLOEXEC)
    containerroot.enter(job.root, with_mounts=not isinstance(job, Export))
    try:
        if isinstance(job, CopyIn):
            _copy_in(job, pipe)
        elif isinstance(job, Export):
            (archiving.write_all if job.faithful else archiving.write_root)(_writer(pipe))
        else:
            _copy_out(job, _writer(pipe))
    except FileNotFoundError as error:
        raise NotFound("") from error
    return Done()


def _writer(fd: int) -> Put:
    def put(piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            view = view[os.write(fd, view) :]

    return put


def _copy_out(job: StatPath | CopyOut, put: Put) -> None:
    path = job.path if isinstance(job, StatPath) else absolute(job.path)
    try:
        status = os.lstat(path)
        is_directory = stat.S_ISDIR(status.st_mode)
        if is_directory:
            # From here on it is this one, whatever takes its place.
            os.chdir(path)
            status = os.stat(".")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise EngineError(f"lstat {path}: {reason(error)}") from error
    put(wire.encode(archiving.path_stat(path, status)) + b"\n")
    if isinstance(job, StatPath):
        return
    if is_directory:
        archiving.write_here(put, archiving.base(path))
    else:
        archiving.write_file(put, path)


def absolute(path: str) -> str:
    """The path as seen from the root, cleaned; an ending that insists on a directory stays."""
    clean = "/" + posixpath.normpath("/" + path).lstrip("/")
    if path.endswith("/.") or path == ".":
        return clean.rstrip("/") + "/."
    return clean + "/" if path.endswith("/") and clean != "/" else clean


def _copy_in(job: CopyIn, source: int) -> None:
    directory = _destination(job.path)
    _check_writable(job, directory)
    owner = _owner(job.owner) if job.owner else None
    pipe = _Pipe(source)
    stream = cast("IO[bytes]", io.BufferedReader(pipe, 1 << 20))
    chunk = open_stream(stream, pipe.head)
    Extractor(os.fsencode(directory), owner, job.keep_kinds, job.with_top).run(TarReader(chunk))
    while chunk():  # what follows the end of the tar: a client is not cut off while it writes
        pass


def _destination(path: str) -> str:
    """The directory that a path comes to, through all symlinks."""
    try:
        directory = os.path.realpath("/" + path, strict=True)
        is_directory = stat.S_ISDIR(os.lstat(directory).st_mode)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise EngineError(f"lstat {path}: {reason(error)}") from error
    if not is_directory:
        raise Invalid("extraction point is not a directory")
    return directory


def _check_writable(job: CopyIn, directory: str) -> None:
    """What the container may not write, nobody writes into it."""
    places = {**dict.fromkeys(job.writable, True), **dict.fromkeys(job.read_only, False)}
    at = max((place for place in places if _is_below(directory, place)), key=len, default=None)
    if at is None and job.read_only_root:
        raise Invalid("container rootfs is marked read-only")
    if at is not None and not places[at]:
        raise Invalid("mounted volume is marked read-only")


def _is_below(path: str, place: str) -> bool:
    return path == place or path.startswith(place.rstrip("/") + "/")


def _owner(user: str) -> tuple[int, int]:
    """uid and gid of a name, or number, in the container's /etc/passwd (passwd(5)). Not by the C library, which would
    load what the container calls its modules."""
    try:
        fd = os.open("/etc/passwd", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        lines: Sequence[bytes] = ()
    else:
        with open(fd, "rb") as file:
            lines = file.read(PASSWD_LIMIT).split(b"\n")
    for index in (0, 2):
        for line in lines:
            fields = line.split(b":")
            if (
                len(fields) >= 4
                and fields[index] == user.encode()
                and fields[2].isdigit()
                and fields[3].isdigit()
            ):
                return int(fields[2]), int(fields[3])
    raise EngineError(f"unable to find user {user}: no matching entries in passwd file")


class _Pipe(io.RawIOBase):
    """An fd as a stream whose beginning, `head`, is known beforehand."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        head = b""
        while len(head) < HEAD and (piece := os.read(fd, HEAD - len(head))):
            head += piece
        self.head = self._ahead = head

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # typeshed: Buffer
        view = memoryview(buffer)
        if self._ahead:
            count = min(len(view), len(self._ahead))
            view[:count] = self._ahead[:count]
            self._ahead = self._ahead[count:]
            return count
        return os.readv(self._fd, [view])
