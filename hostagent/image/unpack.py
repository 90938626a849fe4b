"""Apply a layer's tar to an empty directory, as overlay's upper or lower directory keeps it.

Runs in a worker whose root *is* that directory (hostagent.image.jail), so a symlink or `..` cannot lead outside: the
checks here give clear errors, the jail gives safety. Whiteouts become overlay's own: a character device 0:0, and
`trusted.overlay.opaque=y` (kernel Documentation/filesystems/overlayfs.rst; OCI image-spec layer.md, Whiteouts).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from enum import Enum

from hostagent.errors import Invalid
from hostagent.image.fulldisk import is_full
from hostagent.image.tar_reader import (
    BLOCK_DEVICE,
    CHARACTER,
    DIRECTORY,
    FIFO,
    HARDLINK,
    REGULAR,
    SYMLINK,
    Entry,
    TarReader,
)
from hostagent.image.trees import remove_tree

OPAQUE = b"trusted.overlay.opaque"
_WHITEOUT = b".wh."
_AUFS = b".wh..wh."
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NODE_KINDS = {CHARACTER: stat.S_IFCHR, BLOCK_DEVICE: stat.S_IFBLK, FIFO: stat.S_IFIFO}


class Mark(Enum):
    """What a member's name asks for."""

    NONE = 0
    WHITEOUT = 1  # hide the name behind the prefix
    OPAQUE = 2  # hide all that lower layers have in this directory
    IGNORED = 3  # AUFS's own files


def mark_of(base: bytes) -> Mark:
    """Decide by the last part of a name."""
    if not base.startswith(_WHITEOUT):
        return Mark.NONE
    if base == b".wh..wh..opq":
        return Mark.OPAQUE
    return Mark.IGNORED if base.startswith(_AUFS) else Mark.WHITEOUT


def clean(name: bytes) -> bytes:
    """`./a//b/../c/` -> `a/c`; b"" = the root itself. Raises Invalid for what leads outside or cannot be a path."""
    if b"\0" in name:
        raise Invalid(f"the layer has a name with a zero byte: {show(name)}: refused")
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part in (b"", b"."):
            continue
        if part == b"..":
            if not parts:
                raise Invalid(f"the layer has the path {show(name)}, which leads outside the layer: refused")
            parts.pop()
        else:
            parts.append(part)
    return b"/".join(parts)


def show(name: bytes) -> str:
    return repr(name.decode("utf-8", "backslashreplace"))


class Unpacker:
    """One layer being applied below `root` (b"" when the process is jailed in the layer)."""

    def __init__(self, root: bytes = b"") -> None:
        self._root = root
        self._directories = {root}  # known to exist and to be real directories
        self._times: list[tuple[bytes, int]] = []
        self._hidden: set[bytes] = set()  # paths with a whiteout of this layer
        self.size = 0  # bytes of regular files and of symlinks
        self.files = 0

    def run(self, reader: TarReader) -> None:
        """Apply every member, then the directories' times. The umask must be 0."""
        os.chown(self._root or b"/", 0, 0)
        os.chmod(self._root or b"/", 0o755)  # noqa: S103  # a container's / is for everyone
        for entry in reader:
            name = entry.name
            # The common name needs no cleaning; this test is cheaper than splitting.
            if (
                b"/." in name
                or b"//" in name
                or name[:1] in (b".", b"/")
                or name[-1:] == b"/"
                or b"\0" in name
            ):
                name = clean(name)
            directory, _, base = name.rpartition(b"/")
            parent = self._root + b"/" + directory if directory else self._root
            try:
                if parent not in self._directories:
                    self._make_directories(parent)
                if base.startswith(_WHITEOUT):
                    self._mark(parent, base, entry.mtime)
                else:
                    self._apply(reader, entry, parent + b"/" + base if base else self._root)
            except OSError as error:
                if is_full(error):
                    raise
                raise Invalid(f"cannot apply {show(entry.name)}: {error.strerror}") from error
            except OverflowError as error:
                raise Invalid(
                    f"cannot apply {show(entry.name)}: a number in its header is too large"
                ) from error
        for path, mtime in reversed(self._times):
            os.utime(path or b"/", ns=(mtime, mtime))

    def _make_directories(self, path: bytes) -> None:
        """Parents that the archive does not list: 0755 root, as every engine does."""
        below = self._root
        for part in path[len(self._root) + 1 :].split(b"/"):
            below = below + b"/" + part
            if below in self._directories:
                continue
            if part.startswith(_WHITEOUT):
                raise Invalid(f"the layer has something below the whiteout {show(part)}: refused")
            try:
                os.mkdir(below, 0o755)
            except FileExistsError:
                if below in self._hidden:
                    self._replace(below)
                    os.mkdir(below, 0o755)
                    self._reveal(below)
                # Through a symlink to a directory: it resolves inside the jail, as in a running container.
                elif not os.path.isdir(below):
                    raise
            self._directories.add(below)

    def _mark(self, parent: bytes, base: bytes, mtime: int) -> None:
        mark = mark_of(base)
        if mark is Mark.OPAQUE:
            os.setxattr(parent or b"/", OPAQUE, b"y", follow_symlinks=False)
            return
        if mark is Mark.IGNORED:
            return
        hidden = base[len(_WHITEOUT) :]
        if hidden in (b"", b".", b".."):
            raise Invalid(f"the layer has the whiteout {show(base)}, which hides no file: refused")
        path = parent + b"/" + hidden
        try:
            os.mknod(path, stat.S_IFCHR, 0)
            os.utime(path, ns=(mtime, mtime), follow_symlinks=False)
            self._hidden.add(path)
        except FileExistsError:
            # A whiteout is about lower layers only: what this layer itself has there stays, and hides them.
            if stat.S_ISDIR(os.lstat(path).st_mode):
                os.setxattr(path, OPAQUE, b"y", follow_symlinks=False)

    def _replace(self, path: bytes) -> None:
        """Take away what an earlier member of the archive left at `path`."""
        if stat.S_ISDIR(os.lstat(path).st_mode):
            remove_tree(path)
            prefix = path + b"/"
            self._directories = {d for d in self._directories if d != path and not d.startswith(prefix)}
            self._times = [t for t in self._times if t[0] != path and not t[0].startswith(prefix)]
        else:
            os.unlink(path)
            # A symlink to a directory may have been passed as one.
            self._directories = {self._root}

    def _reveal(self, directory: bytes) -> None:
        """A directory takes the place of a whiteout: lower layers stay hidden in it."""
        if directory in self._hidden:
            self._hidden.discard(directory)
            os.setxattr(directory, OPAQUE, b"y", follow_symlinks=False)

    def _apply(self, reader: TarReader, entry: Entry, path: bytes) -> None:
        kind = entry.kind
        if path == self._root and kind != DIRECTORY:
            raise Invalid(f"the layer has {show(entry.name)} as its root, which is no directory: refused")
        if kind == REGULAR:
            self._file(reader, entry, path)
            return
        if kind == DIRECTORY:
            self._directory(entry, path)
        elif kind == HARDLINK:
            target = self._root + b"/" + clean(entry.link)
            if target == path:
                return
            self._again(path, lambda: os.link(target, path, follow_symlinks=False))
            self._link_header(entry, path)
            return
        elif kind == SYMLINK:
            self._again(path, lambda: os.symlink(entry.link, path))
            self.size += len(entry.link)  # as the file system counts, and Docker with it
        else:
            device = os.makedev(entry.major, entry.minor) if kind != FIFO else 0
            self._again(path, lambda: os.mknod(path, entry.mode | _NODE_KINDS[kind], device))
        self.files += 1
        if entry.uid or entry.gid:
            os.chown(path or b"/", entry.uid, entry.gid, follow_symlinks=False)
            if kind != SYMLINK and entry.mode & 0o6000:
                os.chmod(path or b"/", entry.mode)
        for key, value in entry.xattrs.items():
            _set_xattr(path or b"/", key, value)
        if kind == DIRECTORY:
            self._times.append((path, entry.mtime))
        else:
            os.utime(path, ns=(entry.mtime, entry.mtime), follow_symlinks=False)

    @staticmethod
    def _link_header(entry: Entry, path: bytes) -> None:
        """As Docker: what the header of a hard link says is true of the file that it names."""
        is_symlink = stat.S_ISLNK(os.lstat(path).st_mode)
        os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
        for key, value in entry.xattrs.items():
            _set_xattr(path, key, value)
        if not is_symlink:
            os.chmod(path, entry.mode)
            os.utime(path, ns=(entry.mtime, entry.mtime))

    def _again(self, path: bytes, make: Callable[[], None]) -> None:
        """Run `make`; when something is there already, the later member wins."""
        try:
            make()
        except FileExistsError:
            self._replace(path)
            make()

    def _directory(self, entry: Entry, path: bytes) -> None:
        if path == self._root:
            os.chmod(path or b"/", entry.mode)
            return
        try:
            os.mkdir(path, entry.mode)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                self._replace(path)
                os.mkdir(path, entry.mode)
                self._reveal(path)
            else:
                os.chmod(path, entry.mode)
                if not (entry.uid or entry.gid):
                    os.chown(path, 0, 0)
        self._directories.add(path)

    def _file(self, reader: TarReader, entry: Entry, path: bytes) -> None:
        # open(2) takes the set-ID bits too, and the umask is 0: no chmod is needed unless chown clears them.
        try:
            fd = os.open(path, _CREATE, entry.mode)
        except FileExistsError:
            self._replace(path)
            fd = os.open(path, _CREATE, entry.mode)
        try:
            for piece in reader.payload():
                written = os.write(fd, piece)
                while written < len(piece):
                    written += os.write(fd, piece[written:])
            if entry.uid or entry.gid:
                os.chown(fd, entry.uid, entry.gid)
                if entry.mode & 0o6000:
                    os.chmod(fd, entry.mode)
            if entry.xattrs:
                for key, value in entry.xattrs.items():
                    _set_xattr(fd, key, value)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(fd)
        self.size += entry.size
        self.files += 1


def _set_xattr(target: bytes | int, key: bytes, value: bytes) -> None:
    """Set one attribute. Overlay's own are dropped: a layer could redirect a directory or fake an opaque one."""
    if key.startswith((b"trusted.overlay.", b"user.overlay.")):
        return
    try:
        if isinstance(target, int):
            os.setxattr(target, key, value)
        else:
            os.setxattr(target, key, value, follow_symlinks=False)
    except OSError as error:
        # As docker: a file system without this kind of attribute is no reason to refuse the image, but losing
        # file capabilities silently would be.
        if error.errno != errno.ENOTSUP or key.startswith(b"security."):
            raise
