"""The files of a saved image on top of each other."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from machine.client.flatten import flatten
from machine.errors import MachineError

Member = tuple[str, str | None, str]
"""Name, type (None: a file), content or link."""


def tar(members: list[Member]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind, text in members:
            info = tarfile.TarInfo(name)
            if kind is None:
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text.encode()))
            else:
                info.type = {"d": tarfile.DIRTYPE, "h": tarfile.LNKTYPE, "l": tarfile.SYMTYPE}[kind]
                info.linkname = text
                archive.addfile(info)
    return out.getvalue()


def saved(layers: list[list[Member]], pack: Callable[[bytes], bytes] = bytes) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        names = [f"blobs/sha256/{number}" for number in range(len(layers))]
        files = {name: pack(tar(layer)) for name, layer in zip(names, layers, strict=True)}
        files["manifest.json"] = json.dumps([{"Config": "c", "RepoTags": None, "Layers": names}]).encode()
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out


def flat(layers: list[list[Member]], into: Path, pack: Callable[[bytes], bytes] = bytes) -> dict[str, str]:
    """Unpacked by tar itself: a link before its target, or a file before its directory, would fail or show."""
    data = b"".join(flatten(saved(layers, pack)))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(into)
    found = {}
    for path in sorted(into.rglob("*")):
        name = str(path.relative_to(into))
        found[name] = (
            f"-> {path.readlink()}" if path.is_symlink() else "/" if path.is_dir() else path.read_text()
        )
    return found


BASE: list[Member] = [
    ("a", "d", ""),
    ("a/one", None, "1"),
    ("a/two", None, "2"),
    ("b", "d", ""),
    ("b/x", None, "x"),
]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
def test_upper_layers_win(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    top: list[Member] = [
        ("./a/", "d", ""),
        ("./a/one", None, "new"),
        ("a/.wh.two", None, ""),
        (".wh.b", None, ""),
    ]
    assert flat([BASE, top], tmp_path, pack) == {"a": "/", "a/one": "new"}


def test_opaque_directories_and_what_comes_back(tmp_path: Path) -> None:
    layers: list[list[Member]] = [
        BASE,
        [("a", "d", ""), ("a/.wh..wh..opq", None, ""), ("a/three", None, "3"), (".wh.b", None, "")],
        [("b", "d", ""), ("b/y", None, "y")],
    ]
    assert flat(layers, tmp_path) == {"a": "/", "a/three": "3", "b": "/", "b/y": "y"}


def test_a_file_in_place_of_a_directory_and_back(tmp_path: Path) -> None:
    layers: list[list[Member]] = [BASE, [("a", None, "file")], [("b", "l", "a")]]
    assert flat(layers, tmp_path) == {"a": "file", "b": "-> a"}


def test_a_hard_link_outlives_its_first_name(tmp_path: Path) -> None:
    """The content is under a name that an upper layer removed or replaced."""
    links: list[Member] = [("a", None, "content"), ("b", "h", "a"), ("c", "h", "a"), ("d/e", "h", "a")]
    found = flat([links, [(".wh.a", None, "")]], tmp_path / "removed")
    assert found == {"b": "content", "c": "content", "d": "/", "d/e": "content"}
    assert (tmp_path / "removed" / "b").stat().st_nlink == 3
    found = flat([links, [("a", None, "other")]], tmp_path / "replaced")
    assert found == {"a": "other", "b": "content", "c": "content", "d": "/", "d/e": "content"}


def test_files_without_their_directories(tmp_path: Path) -> None:
    assert flat([[("x/y/z", None, "deep")]], tmp_path)["x/y/z"] == "deep"


@pytest.mark.parametrize("damage", [b"", b"x" * 2000])
def test_damage_is_told(damage: bytes) -> None:
    with pytest.raises(MachineError, match="damaged"):
        b"".join(flatten(io.BytesIO(damage)))
