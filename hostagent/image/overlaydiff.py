"""What a container changed: overlay's upper directory against the layers below it, by Docker's rules.

The container may be at work in the upper directory. Every path in it is opened by openat2(2) below that directory and
through no symlink, so that one which takes a directory's place leads nowhere. No mount is needed.
Sources: kernel Documentation/filesystems/overlayfs.rst (whiteouts, opaque directories).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import IntEnum

from hostagent.image.mountpoints import is_bare, is_mtab
from hostagent.image.unpack import OPAQUE
from hostagent.kernel import constants as c
from hostagent.kernel import libc
from hostagent.kernel.fds import owned
from hostagent.kernel.rootpath import proc_name

_INSIDE = c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_CAPABILITY = b"security.capability"
_GONE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG))
"""What a lookup may say of a path that was there a moment ago, or that no path can name (deeper than PATH_MAX)."""


class Kind(IntEnum):
    """As the API numbers them."""

    MODIFIED = 0
    ADDED = 1
    DELETED = 2


@dataclass(frozen=True)
class Change:
    """`path` is absolute."""

    path: bytes
    kind: Kind


@dataclass(frozen=True)
class Difference:
    """`changes`: a directory before what is in it, names sorted. `needless`: members of the upper directory (relative)
    that say nothing: mount points, and copies of directories with nothing changed in them."""

    changes: tuple[Change, ...]
    needless: frozenset[bytes]


def difference(upper: str, lower: Sequence[str]) -> Difference:
    """Compare; `lower` with the top layer first."""
    with ExitStack() as stack:
        top, *layers = (
            stack.enter_context(owned(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)))
            for path in (upper, *lower)
        )
        return _Comparison(top, layers).run()


def written(upper: str) -> int:
    """Bytes of what is in the upper directory, as Docker counts them: no directories, each inode once, not what every
    container has."""
    total = 0
    seen: set[int] = set()
    with owned(os.open(upper, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as top:
        todo = [b"."]
        while todo:
            directory = todo.pop()
            for name, status in _entries(top, directory):
                if stat.S_ISDIR(status.st_mode):
                    todo.append(directory + b"/" + name)
                elif status.st_ino not in seen and not is_mtab(directory + b"/" + name, status, top):
                    seen.add(status.st_ino)
                    total += status.st_size
    return total


@dataclass
class _Node:
    """A member of the upper directory, or something that it hides."""

    path: bytes
    kind: Kind | None
    parent: _Node | None
    kept: bool
    """Whether it, or something in it, has a meaning in a layer."""
    is_directory: bool = False
    lower: tuple[int, ...] = ()
    """Of a directory: the layers, top first, that make up the one below it."""


class _Comparison:
    def __init__(self, upper: int, layers: Sequence[int]) -> None:
        self._upper = upper
        self._layers = layers
        self._nodes: list[_Node] = []

    def run(self) -> Difference:
        todo = [_Node(b".", None, None, kept=True, is_directory=True, lower=tuple(self._layers))]
        while todo:
            node = todo.pop()
            if node.parent is not None:
                self._nodes.append(node)
            if node.is_directory:
                todo += reversed(self._below(node))
        for node in reversed(self._nodes):
            if (parent := node.parent) is not None:
                parent.kept |= node.kept
                if node.kind is not None and parent.kind is None:
                    parent.kind = Kind.MODIFIED
        changes = tuple(Change(b"/" + n.path[2:], n.kind) for n in self._nodes if n.kind is not None)
        return Difference(changes, frozenset(n.path[2:] for n in self._nodes if not n.kept))

    def _below(self, node: _Node) -> list[_Node]:
        """Members of a directory, and then what was deleted in it."""
        found: list[_Node] = []
        hidden: set[bytes] = set()
        names: set[bytes] = set()
        for name, status in sorted(_entries(self._upper, node.path)):
            path = node.path + b"/" + name
            if _is_whiteout(status):
                hidden.add(name)
                continue
            names.add(name)
            found.append(self._member(path, status, node))
        if found or hidden or node.lower:
            with _opened(self._upper, node.path) as fd:
                if fd is not None and _xattr(fd, OPAQUE) == b"y":
                    hidden = self._names(node) - names
        for name in sorted(hidden):
            path = node.path + b"/" + name
            if self._old(path, node.lower)[0] is not None:
                found.append(_Node(path, Kind.DELETED, node, kept=True))
        return found

    def _member(self, path: bytes, status: os.stat_result, parent: _Node) -> _Node:
        old, lower = self._old(path, parent.lower)
        bare = is_bare(path[2:], status) or (old is None and is_mtab(path, status, self._upper))
        if old is None:
            kind = None if bare else Kind.ADDED
        else:
            kind = Kind.MODIFIED if self._differ(path, old, status, parent.lower) else None
        is_directory = stat.S_ISDIR(status.st_mode)
        kept = not bare and (kind is not None or not is_directory)
        return _Node(path, kind, parent, kept, is_directory, lower)

    def _differ(self, path: bytes, old: os.stat_result, new: os.stat_result, lower: tuple[int, ...]) -> bool:
        """Docker's comparison: of directories neither size nor time; a time without a fraction matches its second."""
        if (old.st_mode, old.st_uid, old.st_gid, old.st_rdev) != (
            new.st_mode,
            new.st_uid,
            new.st_gid,
            new.st_rdev,
        ):
            return True
        if stat.S_ISDIR(new.st_mode):
            return False
        if old.st_size != new.st_size or not _same_time(old.st_mtime_ns, new.st_mtime_ns):
            return True
        return self._capability((self._upper,), path) != self._capability(lower, path)

    def _capability(self, trees: Sequence[int], path: bytes) -> bytes:
        for tree in trees:
            with _opened(tree, path) as fd:
                if fd is not None:
                    return _xattr(fd, _CAPABILITY)
        return b""

    def _old(self, path: bytes, layers: tuple[int, ...]) -> tuple[os.stat_result | None, tuple[int, ...]]:
        """What the layers have at `path`, and, of a directory, the layers that make it up."""
        found: os.stat_result | None = None
        parts: list[int] = []
        for layer in layers:
            with _opened(layer, path) as fd:
                if fd is None:
                    continue
                status = os.fstat(fd)
                if _is_whiteout(status):
                    break
                is_directory = stat.S_ISDIR(status.st_mode)
                if found is None:
                    found = status
                if not is_directory:
                    break
                parts.append(layer)
                if _xattr(fd, OPAQUE) == b"y":
                    break
        return found, tuple(parts)

    def _names(self, node: _Node) -> set[bytes]:
        """What the layers have in a directory; names that they hide again are sorted out by whoever looks closer."""
        return {name for layer in node.lower for name, _ in _entries(layer, node.path)}


@contextmanager
def _opened(tree: int, path: bytes) -> Iterator[int | None]:
    """An O_PATH fd of the member itself, None when there is none."""
    try:
        fd = libc.openat2(tree, path, os.O_PATH | os.O_NOFOLLOW, 0, _INSIDE)
    except OSError as error:
        if error.errno not in _GONE:
            raise
        yield None
        return
    with owned(fd):
        yield fd


def _entries(tree: int, directory: bytes) -> list[tuple[bytes, os.stat_result]]:
    """Names and states of what is in a directory; none of one that has gone."""
    try:
        fd = libc.openat2(tree, directory, _DIRECTORY, 0, _INSIDE)
    except OSError as error:
        if error.errno not in _GONE:
            raise
        return []
    found: list[tuple[bytes, os.stat_result]] = []
    with owned(fd):
        for name in os.listdir(fd):
            try:
                found.append((os.fsencode(name), os.stat(name, dir_fd=fd, follow_symlinks=False)))
            except FileNotFoundError:
                continue  # gone since
    return found


def _xattr(fd: int, name: bytes) -> bytes:
    """An attribute by an O_PATH fd, b"" when there is none. Symlinks have none of those that are asked for here."""
    try:
        return os.getxattr(proc_name(fd), name)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP, *_GONE):
            return b""
        raise


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _same_time(old: int, new: int) -> bool:
    second = 1_000_000_000
    return old == new or (old // second == new // second and 0 in (old % second, new % second))
