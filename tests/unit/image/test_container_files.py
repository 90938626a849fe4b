"""Small parts of `docker cp`: what needs no container."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from hostagent.errors import EngineError, Invalid
from hostagent.image.archiving import base, go_mode, resolve
from hostagent.image.extract import Extractor
from hostagent.image.files import absolute
from hostagent.image.tar_reader import TarReader


def test_modes_as_go_has_them() -> None:
    assert go_mode(stat.S_IFDIR | 0o1777) == 1 << 31 | 1 << 20 | 0o777
    assert go_mode(stat.S_IFREG | 0o4755) == 1 << 23 | 0o755
    assert go_mode(stat.S_IFCHR | 0o600) == 1 << 26 | 1 << 21 | 0o600


@pytest.mark.parametrize(
    ("path", "seen", "name"),
    [
        ("a", "/a", "a"),
        ("/a/", "/a/", "a"),
        ("/a/.", "/a/.", "."),
        ("/a/../b/", "/b/", "b"),
        ("//a//b", "/a/b", "b"),
        ("/", "/", "/"),
        (".", "/.", "."),
        ("../..", "/", "/"),
    ],
)
def test_paths(path: str, seen: str, name: str) -> None:
    assert absolute(path) == seen
    assert base(seen) == name


def test_symlinks_are_followed_as_far_as_there_is_something(tmp_path: Path) -> None:
    os.symlink("there/not", tmp_path / "link")
    os.symlink(tmp_path / "link", tmp_path / "second")
    assert resolve(f"{tmp_path}/second/x") == f"{tmp_path}/there/not/x"
    os.symlink("loop", tmp_path / "loop")
    with pytest.raises(EngineError, match="too many links"):
        resolve(f"{tmp_path}/loop")


def test_after_the_jail_nothing_is_imported(tmp_path: Path) -> None:
    """What a container calls its modules must not run."""
    (tmp_path / "evil.py").write_text("print('evil ran')")
    script = "from hostagent.image import jail; jail.forbid_imports(); import evil"
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{os.getcwd()}"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "evil was not imported before the jail" in done.stderr


def extract(directory: Path, *members: tarfile.TarInfo) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            member.uid, member.gid = os.getuid(), os.getgid()
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    chunks = iter([out.getvalue(), b""])
    Extractor(os.fsencode(directory), None, False).run(TarReader(lambda: next(chunks)))


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize(
    "bad",
    [
        member("../x"),
        member("a/../../x"),
        member("l", tarfile.SYMTYPE, linkname="../../x"),
        member("l", tarfile.LNKTYPE, linkname="../x"),
        member(".", tarfile.REGTYPE),
        member("x", pax_headers={"path": "zero\0byte"}),
        member("x", pax_headers={"uid": str(1 << 70)}),
    ],
)
def test_members_that_are_refused(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises((EngineError, Invalid)):
        extract(place, bad)
    assert os.listdir(tmp_path) == ["place"]
