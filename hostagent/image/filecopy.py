"""Copies of the files of a source into a new layer, which is this process's root."""

from __future__ import annotations

import os
import posixpath
import stat
from dataclasses import dataclass, field

from hostagent.dockerfile.patterns import PathMatcher
from hostagent.errors import EngineError, Invalid
from hostagent.image.ownership import Chmod
from hostagent.image.sources import Content, Item, Source, Status
from hostagent.image.trees import remove_tree

_SEND = 1 << 26
"""Bytes of one sendfile(2)."""
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def make_directories(path: str, owner: tuple[int, int] | None) -> None:
    """With those above it; new ones belong to `owner`. NotADirectory is told."""
    path = os.path.realpath(path)
    missing: list[str] = []
    while not os.path.lexists(path):
        missing.append(path)
        path = posixpath.dirname(path)
    if not os.path.isdir(path):
        raise Invalid(f"cannot make a directory in {path}: it is a file")
    for each in reversed(missing):
        os.mkdir(each, 0o755)
        if owner is not None:
            os.chown(each, *owner)


@dataclass
class Copy:
    """Copies of one instruction. Hard links among its files stay hard links."""

    owner: tuple[int, int] | None
    chmod: Chmod | None
    excluded: PathMatcher | None
    _links: dict[object, str] = field(default_factory=dict)
    _times: list[tuple[str, Status]] = field(default_factory=list)
    _fresh: set[str] = field(default_factory=set)
    """Directories that this copy has made: nothing is in the way in them."""

    def directory(self, source: Source, item: Item, target: str) -> None:
        """The content of a directory into `target`, which is made like it if it is missing."""
        if not os.path.isdir(target):
            make_directories(posixpath.dirname(target), self.owner)
            if os.path.lexists(target):
                raise Invalid(f"cannot copy a directory over the file {target}")
            self._mkdir(target, item.status)
        prefix = target.rstrip("/") + "/"
        for name, member in source.members(item, self.excluded):
            self._member(member, prefix + name)

    def file(self, item: Item, content: Content | None, target: str) -> None:
        """A selected file: `content` to read it by; a special file has none."""
        self._make_room(target)
        if content is None:
            os.mknod(target, item.status.st_mode, item.status.st_rdev)
            self._dress(target, item.status)
        else:
            self._write(content, target, item.status)

    def finish(self) -> None:
        """Directories get their times when nothing is written into them any more."""
        for path, status in reversed(self._times):
            os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))

    def _member(self, member: Item, target: str) -> None:
        status = member.status
        kind = stat.S_IFMT(status.st_mode)
        folder = posixpath.dirname(target)
        fresh = folder in self._fresh
        if kind == stat.S_IFDIR:
            if fresh or os.path.islink(target) or not os.path.isdir(target):
                if not fresh:
                    self._make_room(target)
                self._mkdir(target, status)
            return
        if not fresh:
            if self.excluded is not None:
                make_directories(folder, self.owner)
            self._make_room(target)
        identity = member.identity
        if identity is not None:
            first = self._links.setdefault(identity, target)
            if first != target:
                os.link(first, target, follow_symlinks=False)
                return
        if kind == stat.S_IFREG:
            content = member.content()
            try:
                self._write(content, target, status)
            finally:
                content.close()
        elif kind == stat.S_IFLNK:
            os.symlink(member.link(), target)
            os.chown(target, *(self.owner or (status.st_uid, status.st_gid)), follow_symlinks=False)
            os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns), follow_symlinks=False)
        elif kind != stat.S_IFSOCK:
            os.mknod(target, status.st_mode, status.st_rdev)
            self._dress(target, status)

    def _mkdir(self, target: str, status: Status) -> None:
        os.mkdir(target, 0o700)
        self._dress(target, status)
        self._times.append((target, status))
        self._fresh.add(target)

    def _write(self, content: Content, target: str, status: Status) -> None:
        # open(2) takes the mode as it is: the umask is 0. Set-ID bits come after the owner, who takes them away.
        mode = self.chmod(status.st_mode) if self.chmod else stat.S_IMODE(status.st_mode)
        owner = self.owner or (status.st_uid, status.st_gid)
        fd = os.open(target, _CREATE, mode)
        try:
            for begin, length in content.data:
                self._send(content, fd, begin, length, target)
            if not content.data or sum(content.data[-1]) < status.st_size:
                os.ftruncate(fd, status.st_size)
            for name, value in content.xattrs.items():
                os.setxattr(fd, name, value)
            if owner != (0, 0):
                os.chown(fd, *owner)
            if mode & 0o6000:
                os.chmod(fd, mode)
            os.utime(fd, ns=(status.st_mtime_ns, status.st_mtime_ns))
        finally:
            os.close(fd)

    @staticmethod
    def _send(content: Content, fd: int, begin: int, length: int, target: str) -> None:
        if begin:
            os.lseek(fd, begin, os.SEEK_SET)
        while length:
            count = os.sendfile(fd, content.fd, content.offset + begin, min(length, _SEND))
            if not count:
                raise EngineError(f"{target}: the file became shorter while it was read")
            begin += count
            length -= count

    def _dress(self, target: str, status: Status) -> None:
        os.chown(target, *(self.owner or (status.st_uid, status.st_gid)))
        os.chmod(target, self.chmod(status.st_mode) if self.chmod else stat.S_IMODE(status.st_mode))
        os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))

    @staticmethod
    def _make_room(target: str) -> None:
        """Whatever has the name goes, as in Docker's classic builder; BuildKit refuses what is of another kind."""
        try:
            status = os.lstat(target)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(status.st_mode):
            remove_tree(os.fsencode(target))
        else:
            os.unlink(target)
