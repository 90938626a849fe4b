"""Walk a tree into tar. A layer's gives canonical tar, the inverse of hostagent.image.unpack: overlay's marks become
whiteouts.

Runs jailed in the tree, so the walk cannot leave it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import ClassVar

from hostagent.image.compression import CHUNK
from hostagent.image.tar_reader import BLOCK_DEVICE, CHARACTER, DIRECTORY, FIFO, HARDLINK, REGULAR, SYMLINK
from hostagent.image.tar_writer import END, Header, encode, padding
from hostagent.image.unpack import OPAQUE

Put = Callable[[bytes], None]


class TreePacker:
    """Members of the tree at `root` (b"" = the process's own root). `put` gets the pieces of the tar, in order."""

    LIVE: ClassVar[bool] = False
    """Whether somebody may change the tree meanwhile: what vanishes is left out, what shrinks is filled up with zeros,
    as GNU tar does. Else that is an error."""

    def __init__(self, put: Put, root: bytes = b"") -> None:
        self._out = put
        self._root = root
        self._gathered: list[bytes] = []
        self._size = 0
        self._links: dict[tuple[int, int], bytes] = {}

    def walk(self, name: bytes) -> None:
        """`name` (b"" = the root, which is not a member itself) and all below it, sorted, parents first."""
        # Names still to write, the next one last: no recursion, whatever the depth.
        todo = [name] if name else self._below(b"")
        while todo:
            name = todo.pop()
            try:
                if self._member(name):
                    todo.extend(self._below(name + b"/"))
            except FileNotFoundError:
                if not self.LIVE:
                    raise

    def end(self) -> None:
        """The end of the archive."""
        self._put(END)
        self._out(b"".join(self._gathered))

    def shown(self, name: bytes) -> bytes:
        """The name in the archive."""
        return name

    def xattrs(self, path: bytes) -> dict[bytes, bytes]:
        """The attributes to keep."""
        raise NotImplementedError

    def _put(self, piece: bytes) -> None:
        """Gather small pieces: hashing and deflating each header by itself would cost more than the work."""
        self._gathered.append(piece)
        self._size += len(piece)
        if self._size >= CHUNK:
            self._out(b"".join(self._gathered))
            self._gathered.clear()
            self._size = 0

    def _below(self, prefix: bytes) -> list[bytes]:
        names = os.listdir(self._root + b"/" + prefix)
        return [prefix + name for name in sorted(names, reverse=True)]

    def _member(self, name: bytes) -> bool:
        """Write one; True for a directory, whose content comes next."""
        path = self._root + b"/" + name
        status = os.lstat(path)
        mode = status.st_mode
        header = Header(
            self.shown(name),
            REGULAR,
            stat.S_IMODE(mode),
            status.st_uid,
            status.st_gid,
            mtime=status.st_mtime_ns,
        )
        if self.replaced(header, status):
            return False
        if stat.S_ISSOCK(mode):
            return False  # tar has no kind for it, and its other end is gone
        is_directory = stat.S_ISDIR(mode)
        if not is_directory and status.st_nlink > 1:
            first = self._links.setdefault((status.st_dev, status.st_ino), header.name)
            if first != header.name:
                header.kind, header.link = HARDLINK, first
                self._put(encode(header))
                return False
        header.xattrs = self.xattrs(path)
        if is_directory:
            self.directory(header)
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

    def replaced(self, header: Header, status: os.stat_result) -> bool:
        """Whether something else was written in a member's place."""
        return False

    def directory(self, header: Header) -> None:
        header.kind = DIRECTORY
        if not header.name.endswith(b"/"):
            header.name += b"/"
        self._put(encode(header))

    def _file(self, path: bytes, header: Header) -> None:
        # A fifo that took the file's place would hold us for ever without O_NONBLOCK.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise FileNotFoundError(f"{path!r} is not the file any more that it was")
            self._put(encode(header))
            left = header.size
            while left:
                piece = os.read(fd, min(CHUNK, left))
                if not piece:
                    if not self.LIVE:
                        raise OSError(f"{path!r} became shorter while it was read")
                    piece = bytes(min(CHUNK, left))
                self._put(piece)
                left -= len(piece)
        finally:
            os.close(fd)
        self._put(padding(header.size))


class Packer(TreePacker):
    """A layer's directory."""

    def run(self) -> None:
        """Everything below the root, then the end of the archive."""
        self._top()
        self.walk(b"")
        self.end()

    def _top(self) -> None:
        """The root itself, only where it differs from what unpacking gives anyway: most layers do not mention it."""
        path = self._root or b"/"
        status = os.lstat(path)
        if (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) != (0o755, 0, 0):
            self._put(
                encode(Header(b"./", DIRECTORY, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid))
            )
        if self.xattrs(path).get(OPAQUE) == b"y":
            self._put(encode(Header(b".wh..wh..opq", REGULAR, 0o600)))

    def replaced(self, header: Header, status: os.stat_result) -> bool:
        """Overlay's mark of a removed file becomes a whiteout."""
        if not stat.S_ISCHR(status.st_mode) or status.st_rdev != 0:
            return False
        directory, slash, base = header.name.rpartition(b"/")
        name = directory + slash + b".wh." + base
        self._put(encode(Header(name, REGULAR, 0o600, mtime=status.st_mtime_ns)))
        return True

    def directory(self, header: Header) -> None:
        """An opaque one is followed by its mark."""
        opaque = header.xattrs.pop(OPAQUE, None) == b"y"
        mark = header.name + b"/.wh..wh..opq"
        super().directory(header)
        if opaque:
            self._put(encode(Header(mark, REGULAR, 0o600, mtime=header.mtime)))

    def xattrs(self, path: bytes) -> dict[bytes, bytes]:
        """All attributes but overlay's own, of which only the opaque mark has a meaning in a layer."""
        names = [os.fsencode(name) for name in os.listxattr(path, follow_symlinks=False)]
        return {
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in names
            if name == OPAQUE or not name.startswith((b"trusted.overlay.", b"user.overlay."))
        }


class LivePacker(Packer):
    """A container's own layer while it may run, without the members `leave_out`."""

    LIVE: ClassVar[bool] = True

    def __init__(self, put: Put, leave_out: frozenset[bytes]) -> None:
        super().__init__(put)
        self._leave_out = leave_out

    def directory(self, header: Header) -> None:
        if header.name not in self._leave_out:
            super().directory(header)

    def replaced(self, header: Header, status: os.stat_result) -> bool:
        left_out = not stat.S_ISDIR(status.st_mode) and header.name in self._leave_out
        return left_out or super().replaced(header, status)
