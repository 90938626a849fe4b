"""A build's context as the tar that it came as, and a list of what is where in it: nothing is unpacked to look at it.

The list is complete and unambiguous (each directory before what is in it, no path twice, none through a symlink);
hostagent.image.receiving makes none of a tar that is otherwise. All is root's.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from collections.abc import Iterator, Sequence

import msgspec

from hostagent.dockerfile.patterns import PathMatcher
from hostagent.image.buildjobs import Archive
from hostagent.image.sources import Content, Item
from hostagent.wire.context import DIRECTORY, FIFO, FILE, HARD_LINK, SYMLINK, decode_entries, decode_pieces

_EMPTY = hashlib.sha256().digest()
_KINDS = {DIRECTORY: stat.S_IFDIR, FILE: stat.S_IFREG, SYMLINK: stat.S_IFLNK, FIFO: stat.S_IFIFO}
_LINKS = 40
"""Symlinks on the way of one path, as the kernel has it (path_resolution(7))."""


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """One path, relative; `mode` with the kind's bits. Of a regular file: where its `size` bytes are in the tar, and
    `content`, SHA-256 of them and its attributes. `first`: path of the entry that a hard link is another name of."""

    path: bytes
    mode: int
    mtime_ns: int
    size: int = 0
    offset: int = 0
    content: bytes = b""
    link: bytes = b""
    first: bytes = b""
    xattrs: dict[bytes, bytes] = {}


def encode(entries: Sequence[Entry]) -> bytes:
    return msgspec.msgpack.encode(entries)


class Archived:
    """A sources.Source. `fd` (owned) is the tar."""

    where = "file not found in build context or excluded by .dockerignore: "

    def __init__(self, fd: int, entries: Sequence[Entry]) -> None:
        self._fd = fd
        self._items: dict[str, _Item] = {}
        self._names: dict[str, list[str]] = {}
        several = {entry.first for entry in entries if entry.first}
        for entry in entries:
            path = "/" + os.fsdecode(entry.path) if entry.path else ""
            several_names = entry.first or (entry.path if entry.path in several else b"")
            self._items[path] = _Item(fd, path, entry, several_names or None)
            if path:
                folder, _, name = path.rpartition("/")
                self._names[folder].append(name)
            if stat.S_ISDIR(entry.mode):
                self._names[path] = []
        for names in self._names.values():
            names.sort()

    def without(self, names: Sequence[str]) -> None:
        """Leave out files that are in the root."""
        for name in names:
            if self._items.pop(f"/{name}", None) is not None:
                self._names[""].remove(name)

    def find(self, path: str) -> Item:
        return self._items[self._resolved(path, follow=True)]

    def exists(self, path: str) -> bool:
        try:
            self._resolved(path, follow=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def names(self, path: str) -> Sequence[str]:
        try:
            return self._names.get(self._resolved(path, follow=True), [])
        except (FileNotFoundError, NotADirectoryError):
            return []

    def members(self, directory: Item, excluded: PathMatcher | None) -> Iterator[tuple[str, Item]]:
        assert isinstance(directory, _Item)
        yield from self._members(directory.path, excluded, "")

    def close(self) -> None:
        os.close(self._fd)

    def _members(self, folder: str, excluded: PathMatcher | None, prefix: str) -> Iterator[tuple[str, Item]]:
        for base in self._names[folder]:
            name, path = f"{prefix}{base}", f"{folder}/{base}"
            item = self._items[path]
            out = excluded is not None and excluded.excludes(name)
            if not out:
                yield name, item
            if path in self._names and (not out or (excluded is not None and excluded.any_negated)):
                yield from self._members(path, excluded, f"{name}/")

    def _resolved(self, path: str, *, follow: bool) -> str:
        """The path of what it leads to; symlinks as openat2(2) follows them with RESOLVE_IN_ROOT."""
        left = [name for name in reversed(path.split("/")) if name not in ("", ".")]
        there, links = "", 0
        while left:
            name = left.pop()
            if there not in self._names:
                raise NotADirectoryError(path)
            if name == "..":
                there = posixpath.dirname(there) if there else ""
                continue
            found = self._items.get(f"{there}/{name}")
            if found is None:
                raise FileNotFoundError(path)
            if stat.S_ISLNK(found.status.st_mode) and (left or follow):
                links += 1
                if links > _LINKS:
                    raise FileNotFoundError(path)
                target = os.fsdecode(found.link())
                there = "" if target.startswith("/") else there
                left += [part for part in reversed(target.split("/")) if part not in ("", ".")]
                continue
            there = f"{there}/{name}"
        return there


def open_archive(files: Archive) -> Archived:
    with open(files.index, "rb") as index:
        entries = msgspec.msgpack.decode(index.read(), type=list[Entry])
    archived = Archived(os.open(files.path, os.O_RDONLY | os.O_CLOEXEC), entries)
    archived.without(files.without)
    return archived


def open_manifest(path: str) -> Archived:
    """For digests: a context's files by its manifest, which says nothing of where they are."""
    with open(path, "rb") as file:
        listed = [entry for piece in decode_pieces(file.read()) for entry in decode_entries(piece.data)]
    entries = {b"": Entry(b"", stat.S_IFDIR | 0o755, 0)}
    for each in listed:
        if each.kind == HARD_LINK:
            first = entries[each.content]
            entries[each.path] = msgspec.structs.replace(first, path=each.path, first=each.content)
            continue
        content = each.content or _EMPTY if each.kind == FILE else b""
        link = each.content if each.kind == SYMLINK else b""
        entries[each.path] = Entry(
            each.path, _KINDS[each.kind] | each.mode, each.mtime_ns, each.size, 0, content, link
        )
    return Archived(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), list(entries.values()))


class _Status:
    """Of an entry, by stat(2)'s names."""

    __slots__ = ("st_mode", "st_mtime_ns", "st_size")
    st_uid = st_gid = st_rdev = 0

    def __init__(self, entry: Entry) -> None:
        self.st_mode = entry.mode
        self.st_size = entry.size
        self.st_mtime_ns = entry.mtime_ns


class _Item:
    __slots__ = ("_entry", "_fd", "identity", "path", "status")

    def __init__(self, fd: int, path: str, entry: Entry, identity: object) -> None:
        self.path = path
        self.status = _Status(entry)
        self.identity = identity
        self._fd = fd
        self._entry = entry

    def content(self) -> Content:
        entry = self._entry
        xattrs = {os.fsdecode(name): value for name, value in entry.xattrs.items()}
        return Content(os.dup(self._fd), entry.offset, entry.size, [(0, entry.size)], xattrs)

    def link(self) -> bytes:
        return self._entry.link

    def digest(self) -> bytes:
        return self._entry.content

    def close(self) -> None:
        pass
