"""Where a copy of a build takes its files from, and which of them: paths and wildcards from a root whose content is
not trusted.

Two kinds of root: files on disk (hostagent.image.selection) and a context as the tar that it came as
(hostagent.image.archived). Digests are the same for both.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hostagent.dockerfile.patterns import PathMatcher, has_wildcards, select_names
from hostagent.errors import NotFound
from hostagent.image.buildjobs import Selection

Data = list[tuple[int, int]]
"""(begin, length) of the pieces of a file that are no holes; begin is that in the file."""


class Status(Protocol):
    """What stat(2) says, as far as a copy needs it."""

    @property
    def st_mode(self) -> int: ...
    @property
    def st_uid(self) -> int: ...
    @property
    def st_gid(self) -> int: ...
    @property
    def st_rdev(self) -> int: ...
    @property
    def st_size(self) -> int: ...
    @property
    def st_mtime_ns(self) -> int: ...


@dataclass(frozen=True)
class Content:
    """A regular file to read from: `fd` (owned) has its first byte at `offset`."""

    fd: int
    offset: int
    size: int
    data: Data
    xattrs: Mapping[str, bytes] = field(default_factory=dict)

    def close(self) -> None:
        os.close(self.fd)


class Item(Protocol):
    """A file, directory, link or device of a root. One from `members` is good until the next one is asked for."""

    @property
    def status(self) -> Status: ...

    @property
    def identity(self) -> object:
        """The same for all names of one file; None for a file with a single name."""

    def content(self) -> Content:
        """Of a regular file."""

    def link(self) -> bytes:
        """The target of a symlink."""

    def digest(self) -> bytes:
        """SHA-256 of a regular file's content and attributes."""

    def close(self) -> None: ...


class Source(Protocol):
    """A root. Paths are absolute in it, and no symlink leads out."""

    where: str
    """Begin of what is said of a path that is not there."""

    def find(self, path: str) -> Item:
        """What it leads to, through symlinks. FileNotFoundError, NotADirectoryError."""

    def exists(self, path: str) -> bool:
        """Whether there is anything, be it a symlink that leads nowhere."""

    def names(self, path: str) -> Sequence[str]:
        """In a directory; none in anything else."""

    def members(self, directory: Item, excluded: PathMatcher | None) -> Iterator[tuple[str, Item]]:
        """All below, by name relative to the directory, each before what is in it, names sorted."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class Found:
    """One path that was selected; `target` is its name at the destination, "" where Docker's rules find it."""

    path: str
    item: Item
    target: str

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.item.status.st_mode)


def select(source: Source, selection: Selection) -> Iterator[Found]:
    """Each path in order, wildcards sorted; the items are the caller's to close. NotFound for a path that is not there,
    and when there is none at all."""
    count = 0
    for path in selection.paths:
        bare = posixpath.normpath(posixpath.join("/", path))
        for match in _expand(source, bare) if has_wildcards(bare) else [bare]:
            try:
                item = source.find(match)
            except (FileNotFoundError, NotADirectoryError):
                raise NotFound(f"{source.where}stat {match.lstrip('/')}: file does not exist") from None
            count += 1
            yield Found(match, item, _target(path, match) if selection.parents else "")
    if not count:
        raise NotFound("no source files were specified")


def _target(asked: str, match: str) -> str:
    """For --parents: the path from the component `.` on, or all of it."""
    head, pivot, _ = asked.removeprefix("./").partition("/./")
    skipped = len([name for name in head.split("/") if name]) if pivot else 0
    return "/".join([name for name in match.split("/") if name][skipped:])


def _expand(source: Source, pattern: str) -> list[str]:
    """Paths that fit, component by component."""
    found = ["/"]
    for name in filter(None, pattern.split("/")):
        if has_wildcards(name):
            found = [
                posixpath.join(path, each)
                for path in found
                for each in select_names(source.names(path), name)
            ]
        else:
            found = [posixpath.join(path, name) for path in found]
    return [path for path in found if source.exists(path)]


def digest(source: Source, selection: Selection) -> tuple[str, int]:
    """(sha256 of all that a copy takes, but for times; number of entries)."""
    whole = hashlib.sha256()
    count = 0
    matcher = PathMatcher(selection.exclude) if selection.exclude else None
    for found in select(source, selection):
        name = "" if found.is_directory else posixpath.basename(found.path)
        whole.update(_line(name, found.item.status, found.target))
        count += 1
        if found.is_directory:
            for name, item in source.members(found.item, matcher):
                whole.update(_line(name, item.status, "") + _content(item))
                count += 1
        elif stat.S_ISREG(found.item.status.st_mode):
            whole.update(found.item.digest())
        found.item.close()
    return f"sha256:{whole.hexdigest()}", count


def _line(name: str, status: Status, target: str) -> bytes:
    mode = status.st_mode
    device = status.st_rdev if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else 0
    text = f"{target}\0{name}\0{mode}\0{status.st_uid}\0{status.st_gid}\0{device}\0\n"
    return text.encode("utf-8", "surrogateescape")


def _content(item: Item) -> bytes:
    """A digest of a file's bytes and attributes, or a link's target."""
    mode = item.status.st_mode
    if stat.S_ISREG(mode):
        return item.digest()
    return b"-> " + item.link() if stat.S_ISLNK(mode) else b""
