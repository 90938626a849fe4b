"""The laptop's half of `cp`: what goes out comes back the same, and nothing of an archive lands elsewhere."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from machine.client.archive import pack, unpack
from machine.errors import MachineError, Usage


def tree(top: Path) -> dict[str, tuple[int, object]]:
    """Relative path -> (mode, content or link target)."""
    found: dict[str, tuple[int, object]] = {}
    for path in sorted(top.rglob("*")):
        mode = path.lstat().st_mode
        content: object = os.readlink(path) if path.is_symlink() else None
        if content is None and path.is_file():
            content = path.read_bytes()
        found[str(path.relative_to(top))] = (mode, content)
    return found


def make(top: Path) -> None:
    (top / "d" / "e").mkdir(parents=True)
    (top / "d" / "empty").mkdir(mode=0o500)
    (top / "d" / "f").write_bytes(b"x" * 3_000_000)
    (top / "d" / "none").write_bytes(b"")
    (top / "d" / "e" / "ümlaut 1").write_text("1")
    (top / "d" / "e" / ("long" * 60)).write_text("2")
    (top / "d" / "up").symlink_to("../..")
    os.link(top / "d" / "f", top / "d" / "g")
    (top / "d" / "e").chmod(0o2750)


@pytest.mark.parametrize(("rename", "expected"), [(None, "d"), ("other", "other")])
def test_round_trip(tmp_path: Path, rename: str | None, expected: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    make(tmp_path / "in")
    pieces = list(pack(str(tmp_path / "in" / "d"), "d", follow=False, owners=False))
    unpack(pieces, str(tmp_path / "out"), rename=rename, owners=False)
    assert tree(tmp_path / "out" / expected) == tree(tmp_path / "in" / "d")
    one, other = (os.stat(tmp_path / "out" / expected / name) for name in "fg")
    assert os.path.samestat(one, other)
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
        assert {member.uid for member in archive} == {0}


def test_content_alone_and_links_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    make(tmp_path / "in")
    (tmp_path / "link").symlink_to("in/d")
    unpack(
        pack(str(tmp_path / "link"), ".", follow=True, owners=False), str(tmp_path), rename=None, owners=False
    )
    assert (tmp_path / "e").is_dir()
    assert (tmp_path / "f").is_file()


def archive(*members: tuple[str, bytes, str]) -> list[bytes]:
    """A tar of (name, type, link or content)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, kind, text in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.mode = 0o755
            data = text.encode() if kind == tarfile.REGTYPE else b""
            info.linkname = "" if data else text
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return [out.getvalue()]


@pytest.mark.parametrize(
    "members",
    [
        [("../evil", tarfile.REGTYPE, "x")],
        [("a/../../evil", tarfile.REGTYPE, "x")],
        [("a", tarfile.SYMTYPE, ".."), ("a/evil", tarfile.REGTYPE, "x")],
        [("a", tarfile.SYMTYPE, "/tmp"), ("a/evil", tarfile.REGTYPE, "x")],
        [("a", tarfile.LNKTYPE, "../secret")],
        [("a", tarfile.SYMTYPE, "../secret"), ("b", tarfile.LNKTYPE, "a/../../secret")],
        [("there/evil", tarfile.REGTYPE, "x")],
        [("there", tarfile.DIRTYPE, ""), ("there/evil", tarfile.REGTYPE, "x")],
    ],
)
def test_nothing_lands_elsewhere(tmp_path: Path, members: list[tuple[str, bytes, str]]) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "outside").mkdir()
    into = tmp_path / "into"
    into.mkdir()
    (into / "there").symlink_to(tmp_path / "outside")
    with pytest.raises(MachineError):
        unpack(archive(*members), str(into), rename=None, owners=False)
    assert not list((tmp_path / "outside").iterdir())
    assert not (tmp_path / "evil").exists()
    assert (tmp_path / "secret").stat().st_nlink == 1


def test_absolute_names_stay_inside(tmp_path: Path) -> None:
    (tmp_path / "y").mkdir()
    unpack(archive(("/etc/x", tarfile.REGTYPE, "x")), str(tmp_path), rename="y", owners=False)
    assert (tmp_path / "y" / "x").read_text() == "x"


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    into = tmp_path / "into"
    into.mkdir()
    (into / "f").symlink_to("../secret")
    unpack(archive(("f", tarfile.REGTYPE, "x")), str(into), rename=None, owners=False)
    assert ((tmp_path / "secret").read_text(), (into / "f").read_text()) == ("s", "x")


@pytest.mark.parametrize(
    ("name", "kind"), [("dir", tarfile.REGTYPE), ("file", tarfile.DIRTYPE)], ids=["file", "directory"]
)
def test_a_file_and_a_directory_do_not_replace_each_other(tmp_path: Path, name: str, kind: bytes) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(MachineError, match="in place of"):
        unpack(archive((name, kind, "x")), str(tmp_path), rename=None, owners=False)


def test_damage_and_absence_are_told(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="nowhere"):
        list(pack(str(tmp_path / "nowhere"), "x", follow=False, owners=False))
    with pytest.raises(MachineError, match="damaged"):
        unpack([b"no tar" * 200], str(tmp_path), rename=None, owners=False)
    whole = archive(("f", tarfile.REGTYPE, "x" * 5000))[0]
    with pytest.raises(MachineError, match="damaged"):
        unpack([whole[:1500]], str(tmp_path), rename=None, owners=False)
