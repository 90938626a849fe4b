"""A container's files as the tar that `docker cp` and `docker export` give: what Docker writes, whole seconds included.

Runs in the container's root (hostagent.image.containerroot). The container may change its files meanwhile.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from typing import ClassVar

from hostagent import wire
from hostagent.errors import EngineError
from hostagent.image.pack import Put, TreePacker
from hostagent.image.tar_writer import Header
from hostagent.model.moment import rfc3339

_CAPABILITIES = "security.capability"
_REVISION_2, _REVISION_3 = 2, 3  # linux/capability.h: the third adds the user namespace's root at the end
_REVISION_2_SIZE = 20
_MAX_LINKS = 255  # as Go's filepath

# Bits of Go's fs.FileMode, which the API shows.
_GO_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
}
_GO_BITS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


class Archiver(TreePacker):
    """Files below `root`; `prefix` + "/" + the name there is the name in the archive (None = the name alone)."""

    LIVE: ClassVar[bool] = True

    def __init__(self, put: Put, root: bytes, prefix: bytes | None) -> None:
        super().__init__(put, root)
        self._prefix = prefix

    def shown(self, name: bytes) -> bytes:
        return name if self._prefix is None else self._prefix + b"/" + name

    def top(self) -> None:
        """The directory `root` itself, as `prefix`."""
        path = self._root or b"/"
        status = os.stat(path)
        header = Header(
            self.shown(b""),
            b"",
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            mtime=status.st_mtime_ns,
            xattrs=self.xattrs(path),
        )
        self.replaced(header, status)
        self.directory(header)

    def replaced(self, header: Header, status: os.stat_result) -> bool:
        """Nothing is; but Docker's archives know no parts of a second."""
        header.mtime -= header.mtime % 1_000_000_000
        return False

    def xattrs(self, path: bytes) -> dict[bytes, bytes]:
        """File capabilities only, as Docker: others often cannot be set where the archive is unpacked."""
        try:
            value = os.getxattr(path, _CAPABILITIES, follow_symlinks=False)
        except OSError as error:
            if error.errno in (errno.ENODATA, errno.ENOTSUP):
                return {}
            raise
        if value[3] == _REVISION_3:
            value = value[:3] + bytes((_REVISION_2,)) + value[4:_REVISION_2_SIZE]
        return {_CAPABILITIES.encode(): value}


class Faithful(Archiver):
    """What a backup wants: nothing is rounded or left out."""

    def replaced(self, header: Header, status: os.stat_result) -> bool:
        return False

    def xattrs(self, path: bytes) -> dict[bytes, bytes]:
        """All of them, the kernel's own notes on overlays too."""
        names = [os.fsencode(name) for name in os.listxattr(path, follow_symlinks=False)]
        return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}


def go_mode(mode: int) -> int:
    """st_mode as Go's fs.FileMode."""
    bits = sum(theirs for ours, theirs in _GO_BITS if mode & ours)
    return mode & 0o777 | bits | _GO_KINDS.get(stat.S_IFMT(mode), 0)


def path_stat(path: str, status: os.stat_result) -> wire.PathStat:
    """What the API tells of a path in that state, which is not followed if it is a symlink."""
    return wire.PathStat(
        name=_valid(base(path)),
        size=status.st_size,
        mode=go_mode(status.st_mode),
        mtime=rfc3339(status.st_mtime_ns),
        link_target=_valid(resolve(path)) if stat.S_ISLNK(status.st_mode) else "",
    )


def _valid(text: str) -> str:
    """JSON has no bytes that are not UTF-8; Docker replaces them too."""
    return os.fsencode(text).decode("utf-8", "replace")


def base(path: str) -> str:
    """The last part of a path, as Go's filepath.Base: "/a/" gives a, "/" itself, "/a/." a dot."""
    return posixpath.basename(path.rstrip("/")) or "/"


def resolve(path: str) -> str:
    """Follow all symlinks of a path as far as it exists; what does not exist stays as it is written."""
    done: list[str] = []
    todo = path.split("/")[::-1]
    links = 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            done = done[:-1]
            continue
        try:
            target = os.readlink("/" + "/".join((*done, part)))
        except OSError:
            done.append(part)  # no symlink, or nothing
            continue
        links += 1
        if links > _MAX_LINKS:
            raise EngineError(f"evalSymlinksInScope: too many links in {path}")
        if target.startswith("/"):
            done = []
        todo += target.split("/")[::-1]
    return "/" + "/".join(done)


def write_here(put: Put, name: str) -> None:
    """The working directory as `name` (an ending of it, "/" for nothing), and all below it."""
    archiver = Archiver(put, b".", b"" if name == "/" else os.fsencode(name))
    archiver.top()
    archiver.walk(b"")
    archiver.end()


def write_file(put: Put, path: str) -> None:
    """`path` (absolute), which is no directory, named by its last part."""
    archiver = Archiver(put, os.fsencode(posixpath.dirname(path).rstrip("/")), None)
    archiver.walk(os.fsencode(base(path)))
    archiver.end()


def write_root(put: Put) -> None:
    """Everything there is."""
    archiver = Archiver(put, b"", None)
    archiver.walk(b"")
    archiver.end()


def write_all(put: Put) -> None:
    """The root directory and everything below, faithfully; names begin with "./"."""
    archiver = Faithful(put, b"", b".")
    archiver.top()
    archiver.walk(b"")
    archiver.end()
