"""Files of this computer as a tar stream, and back: the laptop's half of `cp`.

What comes back was written by a container, so it is taken as hostile: no entry is created outside of the directory
that was named, and no symbolic link is followed on the way, whether it was there before or came with the archive.
"""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Final

from machine.errors import MachineError, Usage

_PIECE: Final = 1024 * 1024
_BLOCK: Final = tarfile.BLOCKSIZE


def pack(path: str, name: str, *, follow: bool, owners: bool) -> Iterator[bytes]:
    """A tar stream of `path`, whose root entry is called `name`; "." stands for its content alone.

    `follow`: a symbolic link at `path` itself is followed. `owners`: keep uid and gid instead of root's.
    Hard links are kept. Raises Usage for what cannot be read.
    """
    links: dict[tuple[int, int], str] = {}
    try:
        status = os.stat(path) if follow else os.lstat(path)
        yield from _entry(path, name, status, links, owners)
    except OSError as error:
        raise Usage(f"cannot read {error.filename or path}: {error.strerror}") from error
    yield bytes(2 * _BLOCK)


def _entry(
    path: str, name: str, status: os.stat_result, links: dict[tuple[int, int], str], owners: bool
) -> Iterator[bytes]:
    if stat.S_ISSOCK(status.st_mode):
        return  # tar has no kind for it
    info = _header(path, name, status, owners)
    if not info.isdir() and status.st_nlink > 1:
        first = links.setdefault((status.st_dev, status.st_ino), name)
        if first != name:
            info.type, info.linkname, info.size = tarfile.LNKTYPE, first, 0
    yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    if info.isreg() and info.size:
        yield from _content(path, info.size)
    if info.isdir():
        for child in sorted(os.listdir(path)):
            inner = os.path.join(path, child)
            yield from _entry(inner, f"{name}/{child}", os.lstat(inner), links, owners)


def _header(path: str, name: str, status: os.stat_result, owners: bool) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = stat.S_IMODE(status.st_mode), status.st_mtime
    info.uid, info.gid = (status.st_uid, status.st_gid) if owners else (0, 0)
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFREG:
        info.size = status.st_size
    elif kind == stat.S_IFLNK:
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
    else:
        info.type = {
            stat.S_IFDIR: tarfile.DIRTYPE,
            stat.S_IFIFO: tarfile.FIFOTYPE,
            stat.S_IFCHR: tarfile.CHRTYPE,
            stat.S_IFBLK: tarfile.BLKTYPE,
        }[kind]
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return info


def _content(path: str, size: int) -> Iterator[bytes]:
    left = size
    with open(path, "rb", buffering=0) as file:
        while left:
            piece = file.read(min(_PIECE, left))
            if not piece:
                raise MachineError(f"{path} became shorter while it was read: try again")
            left -= len(piece)
            yield piece
    yield bytes(-size % _BLOCK)


def unpack(pieces: Iterable[bytes], into: str, *, rename: str | None, owners: bool) -> None:
    """Write a tar stream into the directory `into`. `rename`: what the root entry of the stream is called there.

    Raises MachineError for an entry that would leave `into`, and for what this computer does not let us write.
    """
    try:
        with (
            tarfile.open(fileobj=io.BufferedReader(_Pieces(pieces), _PIECE), mode="r|") as archive,
            _Extraction(into, rename, owners) as extraction,
        ):
            for member in archive:
                extraction.add(archive, member)
    except tarfile.TarError as error:
        raise MachineError(f"the archive that came is damaged: {error}") from error
    except OSError as error:
        raise MachineError(f"cannot write {error.filename or into}: {error.strerror}") from error


class _Extraction:
    """Creates entries below one directory, holding it by descriptor; directories get their modes at the end."""

    def __init__(self, into: str, rename: str | None, owners: bool) -> None:
        self._into = into
        self._rename = rename
        self._owners = owners
        self._modes: list[tuple[list[str], tarfile.TarInfo]] = []
        self._stack = ExitStack()

    def __enter__(self) -> _Extraction:
        self._root = os.open(self._into, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._stack.callback(os.close, self._root)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._stack:
            if kind is None:
                for parts, info in reversed(self._modes):
                    fd = self._open(parts)
                    try:
                        self._dress(fd, info)
                    finally:
                        os.close(fd)

    def add(self, archive: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        parts = self._place(info.name)
        if not parts:
            return  # the directory itself: it is there
        *above, base = parts
        parent = self._open(above)
        try:
            if info.isdir():
                self._directory(parent, base)
                self._modes.append((parts, info))
                return
            self._make_room(parent, base)
            self._create(archive, info, parent, base)
        finally:
            os.close(parent)

    def _place(self, name: str) -> list[str]:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise MachineError(f"the archive that came has an entry outside of its directory: {name}")
        return [self._rename, *parts[1:]] if self._rename is not None and parts else parts

    def _open(self, parts: list[str]) -> int:
        fd = os.dup(self._root)
        for part in parts:
            try:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            except NotADirectoryError as error:
                raise MachineError(
                    f"{'/'.join([self._into, *parts])} leads over a file or a symbolic link: copy elsewhere"
                ) from error
            finally:
                os.close(fd)
            fd = inner
        return fd

    @staticmethod
    def _directory(parent: int, base: str) -> None:
        try:
            os.mkdir(base, 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(base, dir_fd=parent, follow_symlinks=False).st_mode):
                raise MachineError(f"cannot put the directory {base} in place of a file") from None

    @staticmethod
    def _make_room(parent: int, base: str) -> None:
        try:
            status = os.stat(base, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(status.st_mode):
            raise MachineError(f"cannot put the file {base} in place of a directory")
        os.unlink(base, dir_fd=parent)

    def _create(self, archive: tarfile.TarFile, info: tarfile.TarInfo, parent: int, base: str) -> None:
        if info.isreg():
            self._file(archive, info, parent, base)
        elif info.issym():
            os.symlink(info.linkname, base, dir_fd=parent)
        elif info.islnk():
            self._hard_link(info, parent, base)
        elif info.isfifo():
            os.mkfifo(base, info.mode, dir_fd=parent)
        else:
            os.mknod(base, info.mode | _device_kind(info), _device(info), dir_fd=parent)

    def _file(self, archive: tarfile.TarFile, info: tarfile.TarInfo, parent: int, base: str) -> None:
        content = archive.extractfile(info)
        assert content is not None
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(base, flags, 0o600, dir_fd=parent), "wb") as file:
            while piece := content.read(_PIECE):
                file.write(piece)
            file.flush()
            self._dress(file.fileno(), info)

    def _hard_link(self, info: tarfile.TarInfo, parent: int, base: str) -> None:
        *above, name = self._place(info.linkname)
        source = self._open(above)
        try:
            os.link(name, base, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _dress(self, fd: int, info: tarfile.TarInfo) -> None:
        if self._owners:
            os.fchown(fd, info.uid, info.gid)
        os.fchmod(fd, info.mode)
        os.utime(fd, (info.mtime, info.mtime))


def _device_kind(info: tarfile.TarInfo) -> int:
    return stat.S_IFCHR if info.ischr() else stat.S_IFBLK


def _device(info: tarfile.TarInfo) -> int:
    return os.makedev(info.devmajor, info.devminor)


class _Pieces(io.RawIOBase):
    """Pieces of bytes as a file that tarfile can read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # a buffer is what it is called with
        while not self._rest:
            try:
                self._rest = memoryview(next(self._pieces))
            except StopIteration:
                return 0
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
