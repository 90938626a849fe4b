"""What overlay's upper directory changed. The layers are plain directories here; whiteouts need root and are tested
with real containers (tests/root/differential/test_leftovers.py)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hostagent.image.overlaydiff import Kind, difference, written
from hostagent.image.trees import remove_tree


def make(root: Path, files: dict[str, str]) -> str:
    root.mkdir()
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        os.utime(path, ns=(10**18, 10**18))
    return str(root)


def changed(upper: str, *lower: str) -> list[tuple[str, Kind]]:
    return [(change.path.decode(), change.kind) for change in difference(upper, lower).changes]


def test_parents_come_first_and_names_in_order(tmp_path: Path) -> None:
    top = make(tmp_path / "top", {"a/b": "second layer"})
    base = make(tmp_path / "base", {"a/b": "x", "a/c": "x", "d": "x"})
    upper = make(tmp_path / "upper", {"a/new": "", "a/b": "second LAYER", "a/c": "xyz", "z": "", "b/in": ""})
    assert changed(upper, top, base) == [
        ("/a", Kind.MODIFIED),
        ("/a/c", Kind.MODIFIED),
        ("/a/new", Kind.ADDED),
        ("/b", Kind.ADDED),
        ("/b/in", Kind.ADDED),
        ("/z", Kind.ADDED),
    ]


def test_times_of_directories_do_not_count_and_fractions_only_where_both_have_them(tmp_path: Path) -> None:
    lower = make(tmp_path / "lower", {"a": "1", "b": "1", "d/x": "1"})
    upper = make(tmp_path / "upper", {"a": "1", "b": "1", "d/x": "1"})
    os.utime(f"{upper}/a", ns=(10**18, 10**18 + 5))  # the layer's has no fraction
    os.utime(f"{upper}/b", ns=(10**18, 10**18 + 10**9))
    os.utime(f"{upper}/d", ns=(1, 1))
    assert changed(upper, lower) == [("/b", Kind.MODIFIED)]


def test_mount_points_are_no_changes(tmp_path: Path) -> None:
    upper = make(tmp_path / "upper", {"etc/hosts": "", "etc/resolv.conf": "", "dev/null": "", "sys/x/y": ""})
    Path(upper, "proc").mkdir()
    lower = make(tmp_path / "lower", {"etc/passwd": "x"})
    found = difference(upper, [lower])
    assert [change.path for change in found.changes] == [
        b"/dev",
        b"/dev/null",
        b"/sys",
        b"/sys/x",
        b"/sys/x/y",
    ]
    assert {b"etc", b"etc/hosts", b"etc/resolv.conf", b"proc"} <= found.needless


def test_a_symlink_in_a_layer_is_not_followed(tmp_path: Path) -> None:
    """It may name any file of the host."""
    outside = make(tmp_path / "outside", {"file": "x"})
    lower = make(tmp_path / "lower", {"real": "x"})
    os.symlink(outside, f"{lower}/link")
    upper = make(tmp_path / "upper", {"link/file": "x"})
    assert changed(upper, lower) == [("/link", Kind.MODIFIED), ("/link/file", Kind.ADDED)]


def test_deeper_than_any_path(tmp_path: Path) -> None:
    """No recursion, and what no path can name is left out."""
    upper = make(tmp_path / "upper", {})
    fd = os.open(upper, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("d" * 3, dir_fd=fd)
        below = os.open("d" * 3, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    assert len(difference(upper, [str(tmp_path)]).changes) > 900
    assert written(upper) == 0
    remove_tree(os.fsencode(upper))  # pytest's own clean-up recurses


def test_sizes(tmp_path: Path) -> None:
    upper = make(tmp_path / "upper", {"a": "12345", "d/b": "123"})
    os.link(f"{upper}/a", f"{upper}/d/again")
    os.symlink("1234", f"{upper}/link")
    assert written(upper) == 5 + 3 + 4


def test_what_vanishes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upper = make(tmp_path / "upper", {"a": "", "d/b": ""})
    listed = os.listdir

    def and_gone(fd: int) -> list[str]:
        names = listed(fd)
        for name in names:
            if name == "a":
                os.unlink(f"{upper}/a")
        return names

    monkeypatch.setattr("hostagent.image.overlaydiff.os.listdir", and_gone)
    assert changed(upper, str(tmp_path)) == [("/d", Kind.ADDED), ("/d/b", Kind.ADDED)]
