"""The directories of hostagent.build.contexts: what they take, and what goes when that is too much."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hostagent.image.trees import remove_tree
from hostagent.wire.context import decode_pieces

LIMIT = 10 << 30
"""Bytes of contexts and contents that a daemon keeps by itself; the longest unused go first."""
BUSY = "busy-"
"""How names in tmp begin that are in use as long as they are there."""
_GONE = ".gone"


@dataclass(frozen=True)
class _Loose:
    """A content that no tree has."""

    path: str
    size: int
    since_ns: int


class Space:
    """`root` is theirs alone."""

    def __init__(self, root: Path) -> None:
        self.files, self.contexts, self.parts, self.tmp = (
            root / name for name in ("files", "contexts", "parts", "tmp")
        )
        self._root = root

    def recover(self) -> None:
        """Contexts that are not whole go; so does everything temporary."""
        remove_tree(os.fsencode(self.tmp))
        for directory in (self.files, self.contexts, self.parts, self.tmp):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for slot in self.contexts.iterdir():
            if id_of(slot) is None or slot.name.endswith(_GONE):
                remove_tree(os.fsencode(slot))

    def size(self) -> int:
        """Bytes of all files, each counted once however many names it has."""
        seen: set[tuple[int, int]] = set()
        return sum(_sizes(str(self._root), seen))

    def made_ns(self) -> int:
        """When its first bucket was, more or less (the change time of a directory that only grows)."""
        return self.files.stat().st_ctime_ns

    def used_ns(self) -> int:
        """When a build last used one of the contexts; 0 = none is here."""
        return max((_used(slot) for slot in self.contexts.iterdir()), default=0)

    def prune(self, keep: int, until_ns: int, idle: Callable[[Path], bool]) -> int:
        """See ContextStore.prune."""
        before = left = self.size()
        for used_ns, slot in sorted(
            (used, slot) for slot in self.contexts.iterdir() if (used := _used(slot))
        ):
            if left <= keep:
                return before - left
            if idle(slot) and not (until_ns and used_ns > until_ns):
                gone = slot.with_name(f"{slot.name}{_GONE}")
                slot.rename(gone)
                remove_tree(os.fsencode(gone))
                left = self._drop_loose(keep, until_ns)
        return before - self._drop_loose(keep, until_ns)

    def _drop_loose(self, keep: int, until_ns: int) -> int:
        """Bytes that are left."""
        left = self.size()
        for content in sorted(self._loose(), key=lambda content: content.since_ns):
            if left <= keep:
                break
            if not (until_ns and content.since_ns > until_ns):
                os.unlink(content.path)
                left -= content.size
        return left

    def _loose(self) -> Iterator[_Loose]:
        """Contents since when no tree has them (the last unlink is a change of the file: its ctime), half ones, and
        lists of contexts that were never built."""
        for bucket in (*os.scandir(self.files), self.parts, self.tmp):
            for file in os.scandir(bucket):
                status = file.stat(follow_symlinks=False)
                if status.st_nlink == 1 and not file.name.startswith(BUSY):
                    yield _Loose(file.path, status.st_size, status.st_ctime_ns)


def id_of(slot: Path) -> str | None:
    """Which context is there; None: none that is whole."""
    try:
        return (slot / "id").read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None


def pieces(slot: Path) -> dict[bytes, bytes]:
    """Of the list of the context that is there, by their digests."""
    try:
        return {piece.digest: piece.data for piece in decode_pieces((slot / "manifest").read_bytes())}
    except (FileNotFoundError, ValueError):
        return {}


def _used(slot: Path) -> int:
    try:
        return (slot / "id").stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _sizes(directory: str, seen: set[tuple[int, int]]) -> Iterator[int]:
    try:
        found = list(os.scandir(directory))
    except FileNotFoundError:
        return  # deleted meanwhile
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _sizes(entry.path, seen)
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if (key := (status.st_dev, status.st_ino)) not in seen:
            seen.add(key)
            yield status.st_size
