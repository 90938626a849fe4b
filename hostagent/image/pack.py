"""Walk a layer's directory into canonical tar, the inverse of hostagent.image.unpack: overlay's marks become whiteouts.

Runs jailed in the layer, so the walk cannot leave it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from hostagent.image.compression import CHUNK
from hostagent.image.tar_reader import BLOCK_DEVICE, CHARACTER, DIRECTORY, FIFO, HARDLINK, REGULAR, SYMLINK
from hostagent.image.tar_writer import END, Header, encode, padding
from hostagent.image.unpack import OPAQUE

Put = Callable[[bytes], None]


class Packer:
    """One layer; `root` = b"" when jailed in it. Calls `put` with the pieces of the tar, in order."""

    def __init__(self, put: Put, root: bytes = b"") -> None:
        self._out = put
        self._root = root
        self._gathered: list[bytes] = []
        self._size = 0
        self._links: dict[tuple[int, int], bytes] = {}

    def run(self) -> None:
        """Everything below the root, sorted by name, parents first, then the end of the archive."""
        self._top()
        # Names still to write, the next one last: no recursion, whatever the depth.
        todo = self._below(b"")
        while todo:
            name = todo.pop()
            if self._member(name):
                todo.extend(self._below(name + b"/"))
        self._put(END)
        self._out(b"".join(self._gathered))

    def _put(self, piece: bytes) -> None:
        """Gather small pieces: hashing and deflating each header by itself would cost more than the work."""
        self._gathered.append(piece)
        self._size += len(piece)
        if self._size >= CHUNK:
            self._out(b"".join(self._gathered))
            self._gathered.clear()
            self._size = 0

    def _top(self) -> None:
        """The root itself, only where it differs from what unpacking gives anyway: most layers do not mention it."""
        path = self._root or b"/"
        status = os.lstat(path)
        if (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) != (0o755, 0, 0):
            self._put(
                encode(Header(b"./", DIRECTORY, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid))
            )
        if _xattrs(path).get(OPAQUE) == b"y":
            self._put(encode(Header(b".wh..wh..opq", REGULAR, 0o600)))

    def _below(self, prefix: bytes) -> list[bytes]:
        names = os.listdir(self._root + b"/" + prefix)
        return [prefix + name for name in sorted(names, reverse=True)]

    def _member(self, name: bytes) -> bool:
        """Write one; True for a directory, whose content comes next."""
        path = self._root + b"/" + name
        status = os.lstat(path)
        mode = status.st_mode
        header = Header(
            name,
            REGULAR,
            stat.S_IMODE(mode),
            status.st_uid,
            status.st_gid,
            mtime=status.st_mtime_ns,
        )
        if stat.S_ISCHR(mode) and status.st_rdev == 0:
            directory, slash, base = name.rpartition(b"/")
            self._put(
                encode(Header(directory + slash + b".wh." + base, REGULAR, 0o600, mtime=status.st_mtime_ns))
            )
            return False
        if stat.S_ISSOCK(mode):
            return False  # tar has no kind for it, and its other end is gone
        is_directory = stat.S_ISDIR(mode)
        if not is_directory and status.st_nlink > 1:
            first = self._links.setdefault((status.st_dev, status.st_ino), name)
            if first != name:
                header.kind, header.link = HARDLINK, first
                self._put(encode(header))
                return False
        header.xattrs = _xattrs(path)
        if is_directory:
            self._directory(header)
        elif stat.S_ISREG(mode):
            header.size = status.st_size
            self._file(path, header)
        else:
            if stat.S_ISLNK(mode):
                header.kind, header.link = SYMLINK, os.readlink(path)
            elif stat.S_ISFIFO(mode):
                header.kind = FIFO
            else:
                header.kind = CHARACTER if stat.S_ISCHR(mode) else BLOCK_DEVICE
                header.major, header.minor = os.major(status.st_rdev), os.minor(status.st_rdev)
            self._put(encode(header))
        return is_directory

    def _directory(self, header: Header) -> None:
        opaque = header.xattrs.pop(OPAQUE, None) == b"y"
        header.kind = DIRECTORY
        mark = header.name + b"/.wh..wh..opq"
        header.name += b"/"
        self._put(encode(header))
        if opaque:
            self._put(encode(Header(mark, REGULAR, 0o600, mtime=header.mtime)))

    def _file(self, path: bytes, header: Header) -> None:
        self._put(encode(header))
        left = header.size
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            while left:
                piece = os.read(fd, min(CHUNK, left))
                if not piece:
                    raise OSError(f"{path!r} became shorter while it was read")
                self._put(piece)
                left -= len(piece)
        finally:
            os.close(fd)
        self._put(padding(header.size))


def _xattrs(path: bytes) -> dict[bytes, bytes]:
    """All attributes but overlay's own, of which only the opaque mark has a meaning in a layer."""
    names = [os.fsencode(name) for name in os.listxattr(path, follow_symlinks=False)]
    return {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in names
        if name == OPAQUE or not name.startswith((b"trusted.overlay.", b"user.overlay."))
    }
