"""A build's context by a list of what is in it: nothing is unpacked, and no file is read, to look at it.

Either as the tar that it came as (hostagent.image.receiving), or a tree that was made of a list
(hostagent.image.contextfiles), of which only digests are asked for here. The list is complete and unambiguous: each
directory before what is in it, no path twice, none through a symlink. All is root's.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence

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
    """One path, relative, b"" for the root; `mode` with the kind's bits. Of a regular file: where its `size` bytes are
    in the tar, and `content`, SHA-256 of them and its attributes. `first`: path of the first of several names of one
    file, also of that itself."""

    path: bytes
    mode: int
    mtime_ns: int
    size: int = 0
    offset: int = 0
    content: bytes = b""
    link: bytes = b""
    first: bytes = b""
    xattrs: dict[bytes, bytes] = {}


class _Index(msgspec.Struct, array_like=True, frozen=True):
    """`folders`: a list of entries, names sorted, for each directory; only those that are asked for are decoded."""

    root: Entry
    folders: dict[bytes, msgspec.Raw]


def encode(root: Entry, entries: Iterable[Entry]) -> bytes:
    """The index; parents first."""
    folders: dict[bytes, list[Entry]] = {b"": []}
    entries = list(entries)
    several = {entry.first for entry in entries if entry.first}
    for entry in entries:
        named = msgspec.structs.replace(entry, first=entry.path) if entry.path in several else entry
        folders[entry.path.rpartition(b"/")[0]].append(named)
        if stat.S_ISDIR(entry.mode):
            folders[entry.path] = []
    raw = {
        folder: msgspec.Raw(msgspec.msgpack.encode(sorted(found, key=lambda each: os.fsdecode(each.path))))
        for folder, found in folders.items()
    }
    return msgspec.msgpack.encode(_Index(root, raw))


class Archived:
    """A sources.Source. `fd` (owned) is the tar; `without`: files in the root that are left out."""

    where = "file not found in build context or excluded by .dockerignore: "

    def __init__(self, fd: int, index: bytes, without: Sequence[str] = ()) -> None:
        self._fd = fd
        found = msgspec.msgpack.decode(index, type=_Index)
        self._root = _Item(fd, "", found.root)
        self._raw = found.folders
        self._without = frozenset(without)
        self._folders: dict[str, Mapping[str, _Item]] = {}

    def find(self, path: str) -> Item:
        return self._resolved(path, follow=True)

    def exists(self, path: str) -> bool:
        try:
            self._resolved(path, follow=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def names(self, path: str) -> Sequence[str]:
        try:
            return list(self._folder(self._resolved(path, follow=True).path) or ())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def members(self, directory: Item, excluded: PathMatcher | None) -> Iterator[tuple[str, Item]]:
        assert isinstance(directory, _Item)
        yield from self._members(directory.path, excluded, "")

    def close(self) -> None:
        os.close(self._fd)

    def _members(self, folder: str, excluded: PathMatcher | None, prefix: str) -> Iterator[tuple[str, Item]]:
        for base, item in (self._folder(folder) or {}).items():
            name = f"{prefix}{base}"
            out = excluded is not None and excluded.excludes(name)
            if not out:
                yield name, item
            if stat.S_ISDIR(item.status.st_mode) and (
                not out or (excluded is not None and excluded.any_negated)
            ):
                yield from self._members(item.path, excluded, f"{name}/")

    def _folder(self, path: str) -> Mapping[str, _Item] | None:
        """What is in a directory (its path has no / at its begin), names sorted; None when it is none."""
        found = self._folders.get(path)
        if found is None:
            raw = self._raw.get(os.fsencode(path))
            if raw is None:
                return None
            items: dict[str, _Item] = {}
            for entry in msgspec.msgpack.decode(raw, type=list[Entry]):
                whole = os.fsdecode(entry.path)
                if whole not in self._without:
                    items[whole.rpartition("/")[2]] = _Item(self._fd, whole, entry)
            found = self._folders[path] = items
        return found

    def _resolved(self, path: str, *, follow: bool) -> _Item:
        """What it leads to; symlinks as openat2(2) follows them with RESOLVE_IN_ROOT."""
        left = [name for name in reversed(path.split("/")) if name not in ("", ".")]
        way, links = [self._root], 0
        while left:
            name = left.pop()
            folder = self._folder(way[-1].path)
            if folder is None:
                raise NotADirectoryError(path)
            if name == "..":
                way = way[:-1] or way
                continue
            found = folder.get(name)
            if found is None:
                raise FileNotFoundError(path)
            if stat.S_ISLNK(found.status.st_mode) and (left or follow):
                links += 1
                if links > _LINKS:
                    raise FileNotFoundError(path)
                target = os.fsdecode(found.link())
                way = way[:1] if target.startswith("/") else way
                left += [part for part in reversed(target.split("/")) if part not in ("", ".")]
                continue
            way.append(found)
        return way[-1]


def open_archive(files: Archive) -> Archived:
    with open(files.index, "rb") as index:
        return Archived(os.open(files.path, os.O_RDONLY | os.O_CLOEXEC), index.read(), files.without)


def open_manifest(path: str) -> Archived:
    """For digests: a context's files by its manifest, which says nothing of where they are."""
    with open(path, "rb") as file:
        listed = [entry for piece in decode_pieces(file.read()) for entry in decode_entries(piece.data)]
    entries: dict[bytes, Entry] = {}
    for each in listed:
        if each.kind == HARD_LINK:
            entries[each.path] = msgspec.structs.replace(
                entries[each.content], path=each.path, first=each.content
            )
            continue
        content = each.content or _EMPTY if each.kind == FILE else b""
        link = each.content if each.kind == SYMLINK else b""
        entries[each.path] = Entry(
            each.path, _KINDS[each.kind] | each.mode, each.mtime_ns, each.size, 0, content, link
        )
    root = Entry(b"", stat.S_IFDIR | 0o755, 0)
    return Archived(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), encode(root, entries.values()))


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

    def __init__(self, fd: int, path: str, entry: Entry) -> None:
        self.path = path
        self.status = _Status(entry)
        self.identity: object = entry.first or None
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
