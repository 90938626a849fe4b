"""Files on disk that a copy of a build takes: below a directory of the host, or of a stack of layers.

Everything is opened from an fd of the root (openat2(2), RESOLVE_IN_ROOT) or, on the way down, from that of its
directory and through no symlink.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hostagent.dockerfile.patterns import PathMatcher
from hostagent.image.buildjobs import Directory, Layers
from hostagent.image.sources import Content, Data, Item
from hostagent.kernel.fds import owned
from hostagent.kernel.mounts import mount_overlay
from hostagent.kernel.rootpath import open_in_root

_CHUNK = 1 << 20
_HIDDEN = ("trusted.overlay.", "user.overlay.")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FilesOnDisk:
    """`root` is an O_PATH fd (owned). A sources.Source."""

    def __init__(self, root: int, where: str) -> None:
        self._root = root
        self.where = where

    def find(self, path: str) -> Item:
        fd = open_in_root(self._root, path, os.O_PATH)
        return _Opened(fd, os.fstat(fd))

    def exists(self, path: str) -> bool:
        try:
            os.close(open_in_root(self._root, path, os.O_PATH | os.O_NOFOLLOW))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def names(self, path: str) -> Sequence[str]:
        try:
            with owned(open_in_root(self._root, path, os.O_RDONLY | os.O_DIRECTORY)) as fd:
                return os.listdir(fd)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def members(self, directory: Item, excluded: PathMatcher | None) -> Iterator[tuple[str, Item]]:
        assert isinstance(directory, _Opened)
        yield from _members(directory.fd, excluded)

    def close(self) -> None:
        os.close(self._root)


def open_files(files: Layers | Directory, mountpoint: str) -> FilesOnDisk:
    """Layers are mounted, so this is for a mount namespace of one's own."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    if isinstance(files, Directory):
        where = "file not found in build context or excluded by .dockerignore: "
        return FilesOnDisk(os.open(files.path, flags), where)
    if not files.lower:
        return FilesOnDisk(os.open(mountpoint, flags), "")
    return FilesOnDisk(mount_overlay(mountpoint, files.lower), "")


def _members(directory: int, excluded: PathMatcher | None, prefix: str = "") -> Iterator[tuple[str, Item]]:
    with owned(os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)) as fd:
        for base in sorted(os.listdir(fd)):
            name = f"{prefix}{base}"
            status = os.stat(base, dir_fd=fd, follow_symlinks=False)
            out = excluded is not None and excluded.excludes(name)
            if not out:
                yield name, _Member(fd, base, status)
            if stat.S_ISDIR(status.st_mode) and (not out or (excluded is not None and excluded.any_negated)):
                with owned(os.open(base, _DIRECTORY, dir_fd=fd)) as inner:
                    yield from _members(inner, excluded, f"{name}/")


@dataclass(frozen=True)
class _Member:
    """`base` in the directory `parent`, whose fd is good until the next member."""

    parent: int
    base: str
    status: os.stat_result

    @property
    def identity(self) -> object:
        return (self.status.st_dev, self.status.st_ino) if self.status.st_nlink > 1 else None

    def content(self) -> Content:
        return _content(os.open(self.base, _FILE, dir_fd=self.parent))

    def link(self) -> bytes:
        return os.fsencode(os.readlink(self.base, dir_fd=self.parent))

    def digest(self) -> bytes:
        with owned(os.open(self.base, _FILE, dir_fd=self.parent)) as fd:
            return _hash(fd)

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class _Opened:
    """What a path led to; `fd` is O_PATH and owned."""

    fd: int
    status: os.stat_result

    @property
    def identity(self) -> object:
        return None

    def content(self) -> Content:
        return _content(os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC))

    def link(self) -> bytes:
        return os.fsencode(os.readlink("", dir_fd=self.fd))

    def digest(self) -> bytes:
        with owned(os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC)) as fd:
            return _hash(fd)

    def close(self) -> None:
        os.close(self.fd)


def _content(fd: int) -> Content:
    status = os.fstat(fd)
    return Content(
        fd, 0, status.st_size, _data(fd, status), {name: os.getxattr(fd, name) for name in _xattrs(fd)}
    )


def _data(fd: int, status: os.stat_result) -> Data:
    if status.st_blocks * 512 >= status.st_size:
        return [(0, status.st_size)]
    found: Data = []
    at = 0
    while at < status.st_size:
        try:
            begin = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break  # nothing but a hole up to the end
        at = os.lseek(fd, begin, os.SEEK_HOLE)
        found.append((begin, at - begin))
    return found


def _xattrs(fd: int) -> list[str]:
    return sorted(name for name in os.listxattr(fd) if not name.startswith(_HIDDEN))


def _hash(fd: int) -> bytes:
    found = hashlib.sha256()
    while piece := os.read(fd, _CHUNK):
        found.update(piece)
    for name in _xattrs(fd):
        found.update(os.fsencode(name) + b"=" + os.getxattr(fd, name) + b"\0")
    return found.digest()
