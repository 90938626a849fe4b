"""Contents by digest, trees out of them, and what goes when there is too much."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostagent.build.contextspace import Space
from hostagent.errors import Conflict, Invalid
from hostagent.image.contents import Contents
from hostagent.image.contextfiles import entries_of, perform
from hostagent.image.contextjobs import MakeContext
from hostagent.wire.context import ContextEntry, ContextPiece, encode_entries, encode_pieces


def entry(path: str, text: str, mode: int = 0o644, mtime: int = 10**18) -> ContextEntry:
    content = hashlib.sha256(text.encode()).digest() if text else b""
    return ContextEntry(path.encode(), "f", mode, mtime, len(text), content)


class Host:
    """A space with some contents; `make` is what a build does first."""

    def __init__(self, root: Path) -> None:
        self.space = Space(root / "build")
        self.space.recover()

    def give(self, *texts: str) -> None:
        parts = []
        for text in texts:
            digest = hashlib.sha256(text.encode()).hexdigest()
            (self.space.parts / digest).write_text(text)
            parts.append((str(self.space.parts / digest), digest))
        Contents(str(self.space.files)).adopt(parts)

    def make(self, slot: str, *entries: ContextEntry) -> Path:
        data = encode_entries(list(entries))
        manifest = self.space.tmp / "list"
        manifest.write_bytes(encode_pieces([ContextPiece(hashlib.sha256(data).digest(), data)]))
        directory = self.space.contexts / slot
        directory.mkdir(exist_ok=True)
        here = os.getcwd()
        try:
            perform(MakeContext(str(manifest), str(self.space.files), str(directory), slot))
        finally:
            os.chdir(here)
        return directory / "fs"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    umask = os.umask(0o022)  # a job sets its own
    yield Host(tmp_path)
    os.umask(umask)


def test_one_stored_file_for_each_look(host: Host) -> None:
    host.give("x")
    tree = host.make("a", entry("one", "x"), entry("two", "x", 0o755), entry("three", "x"))
    modes = {path.name: (path.stat().st_mode & 0o777, path.read_text()) for path in tree.iterdir()}
    assert modes == {"one": (0o644, "x"), "two": (0o755, "x"), "three": (0o644, "x")}
    assert (tree / "one").stat().st_ino != (tree / "three").stat().st_ino, "a layer would make them one file"
    again = host.make("b", entry("four", "x"))
    assert (again / "four").stat().st_ino == (tree / "one").stat().st_ino, "trees share"


def test_a_file_with_too_many_names_is_copied(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.give("x")

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EMLINK, "too many")

    monkeypatch.setattr(os, "link", full)
    assert (host.make("a", entry("one", "x")) / "one").read_text() == "x"


def test_missing_contents_are_told(host: Host) -> None:
    with pytest.raises(Conflict, match="send it again"):
        host.make("a", entry("one", "x"))
    assert not (host.space.contexts / "a" / "id").exists()


def test_a_tree_that_is_not_whole_is_made_anew(host: Host) -> None:
    host.give("x", "y")
    tree = host.make("a", entry("one", "x"))
    (host.space.contexts / "a" / "id").unlink()
    (tree / "left over").touch()
    host.make("a", entry("two", "y"))
    assert [path.name for path in tree.iterdir()] == ["two"]
    (host.space.contexts / "a" / "id").unlink()
    host.space.recover()
    assert list(host.space.contexts.iterdir()) == []


@pytest.mark.parametrize(
    "entries",
    [
        [ContextEntry(b"l", "l", 0o777, 0, 0, b"/etc"), ContextEntry(b"l/passwd", "d", 0o755, 0)],
        [ContextEntry(b"h", "h", 0, 0, 0, b"/etc/passwd")],
        [ContextEntry(b"x", "c", 0o644, 0)],
        [ContextEntry(b"f", "f", 0o644, 0, 3, b"short")],
        [ContextEntry(b"..", "d", 0o755, 0)],
    ],
)
def test_lists_that_cannot_be(tmp_path: Path, entries: list[ContextEntry]) -> None:
    data = encode_entries(entries)
    (tmp_path / "list").write_bytes(encode_pieces([ContextPiece(b"", data)]))
    with pytest.raises(Invalid):
        entries_of(str(tmp_path / "list"))


def test_the_longest_unused_goes_first(host: Host) -> None:
    host.give("a" * 1000, "b" * 1000, "c" * 1000)
    for number, name in enumerate("abc"):
        host.make(name, entry("f", name * 1000))
        os.utime(host.space.contexts / name / "id", ns=(0, (number + 1) * 10**9))

    def left() -> list[str]:
        return sorted(path.name for path in host.space.contexts.iterdir())

    size = host.space.size()
    assert host.space.prune(size, 0, lambda slot: True) == 0
    freed = host.space.prune(size - 1, 0, lambda slot: slot.name != "a")
    assert (left(), freed > 0) == (["a", "c"], True)
    host.space.prune(0, 2 * 10**9, lambda slot: True)
    assert left() == ["c"], "what was used later stays"
    host.space.prune(0, 0, lambda slot: True)
    assert host.space.size() == 0
