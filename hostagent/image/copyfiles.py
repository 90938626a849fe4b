"""Jobs of a build: digest and copy files, make directories. Each is a process of its own.

A copy opens its source, then makes the new layer's root its only world (hostagent.image.containerroot): what the
destination's symlinks say is followed there and leads nowhere else; the source is reached by fd alone.
"""

from __future__ import annotations

import io
import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from hostagent.dockerfile.patterns import PathMatcher
from hostagent.errors import EngineError
from hostagent.image import jail
from hostagent.image.archived import open_archive, open_manifest
from hostagent.image.buildjobs import (
    Archive,
    BuildJob,
    CopyFiles,
    Digested,
    DigestFiles,
    Directory,
    Files,
    Finished,
    FinishLayer,
    MakeDirectories,
    ReceiveContext,
    Received,
    Stage,
    UnpackContext,
)
from hostagent.image.compression import Region, ahead, open_stream
from hostagent.image.extract import Extractor
from hostagent.image.filecopy import Copy, make_directories
from hostagent.image.finishing import finish
from hostagent.image.jobs import Done
from hostagent.image.ownership import chmod_of, owner_of
from hostagent.image.receiving import receive
from hostagent.image.selection import open_files
from hostagent.image.sources import Content, Found, Source, digest, select
from hostagent.image.tar_reader import TarReader
from hostagent.kernel.mounts import mount_overlay

_CHUNK = 1 << 20


def perform(job: BuildJob) -> Received | Digested | Finished | Done:
    """In a worker's process for one job."""
    os.umask(0)
    match job:
        case ReceiveContext():
            return receive(job)
        case UnpackContext():
            _unpack_context(job)
        case DigestFiles():
            jail.own_namespace()
            files = job.selection.files
            listed = isinstance(files, Directory) and files.manifest
            source = open_manifest(listed) if listed else _opened(files, job.mountpoint)
            return Digested(*digest(source, job.selection))
        case CopyFiles():
            _copy(job)
        case MakeDirectories():
            _enter(job.stage)
            make_directories(job.path, None)
        case FinishLayer():
            return finish(job)
    return Done()


def _opened(files: Files, mountpoint: str) -> Source:
    return open_archive(files) if isinstance(files, Archive) else open_files(files, mountpoint)


def _unpack_context(job: UnpackContext) -> None:
    """Read and inflate in a thread, write in this one."""
    with io.BufferedReader(io.FileIO(job.path), _CHUNK) as file:
        head = file.peek(8)[:8]
        jail.enter(job.into)
        pieces = ahead(open_stream(file, head))
        Extractor(b"/", (0, 0), keep_kinds=False).run(TarReader(pieces, open_ended=True))


def _enter(stage: Stage) -> None:
    """Make the new layer on top of those below this process's root. For good."""
    jail.own_namespace()
    os.close(mount_overlay(stage.mountpoint, stage.lower, stage.upper, stage.work))
    jail.pivot(stage.mountpoint)


def _copy(job: CopyFiles) -> None:
    jail.own_namespace()
    source = _opened(job.selection.files, job.mountpoint)
    # Opened now: their names lead nowhere from inside.
    found = [(each, _plain(each)) for each in select(source, job.selection)]
    _enter(job.stage)
    owner = owner_of(job.chown) if job.chown else None
    chmod = chmod_of(job.chmod) if job.chmod else None
    copy = Copy(owner, chmod, PathMatcher(job.selection.exclude) if job.selection.exclude else None)
    many = len(found) > 1 or len(job.selection.paths) > 1
    for each, content in found:
        _place(copy, source, each, content, job, many)
    copy.finish()


def _plain(found: Found) -> Content | None:
    """To read a selected file by; None for anything else."""
    return found.item.content() if stat.S_ISREG(found.item.status.st_mode) else None


def _place(
    copy: Copy, source: Source, found: Found, content: Content | None, job: CopyFiles, many: bool
) -> None:
    """Copy one selected path to where Docker's rules put it: a directory's content, a file itself."""
    destination = _followed(job.destination)
    if found.target:
        target = posixpath.join(destination, found.target)
        make_directories(posixpath.dirname(target), copy.owner)
    elif found.is_directory:
        target = destination
    elif job.destination.endswith("/") or many or os.path.isdir(destination):
        target = posixpath.join(destination, posixpath.basename(found.path))
    else:
        target = destination
    if job.unpack and content is not None and _is_archive(content):
        make_directories(destination, copy.owner)
        with _archive(content) as reader:
            Extractor(os.fsencode(destination), copy.owner, keep_kinds=False).run(reader)
    elif found.is_directory:
        copy.directory(source, found.item, target)
    else:
        make_directories(posixpath.dirname(target), copy.owner)
        copy.file(found.item, content, target)


def _followed(path: str) -> str:
    """With the symlinks on its way resolved, in the root that this process is in."""
    return os.path.realpath(path)


def _is_archive(content: Content) -> bool:
    """Whether it is a tar with something in it, compressed or not: as Docker, by looking for its first member."""
    try:
        with _archive(content) as reader:
            return next(iter(reader), None) is not None
    except EngineError:
        return False


@contextmanager
def _archive(content: Content) -> Iterator[TarReader]:
    """A reader from the file's beginning on."""
    size = content.size
    raw = Region(content.fd, content.offset, size)
    head = os.pread(content.fd, min(8, size), content.offset)
    yield TarReader(open_stream(cast("IO[bytes]", io.BufferedReader(raw, _CHUNK)), head), open_ended=True)
