"""Digests of files are remembered, and never wrongly."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from machine.client import digest_cache
from machine.client.digest_cache import DigestCache
from machine.errors import Usage


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYMACHINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def digest(directory: Path, name: str, cache: str = "c") -> str:
    path = directory / name
    return DigestCache(cache).digests(str(directory), [(name, path.stat())])[name].hex()


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    inner = digest_cache._digest

    def counted(path: str) -> bytes:
        found.append(path)
        return inner(path)

    monkeypatch.setattr(digest_cache, "_digest", counted)
    return found


def test_a_file_of_old_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest_cache, "_RACE_NS", -1)
    seen = reads(monkeypatch)
    (tmp_path / "f").write_text("a")
    assert digest(tmp_path, "f") == digest(tmp_path, "f") == hashlib.sha256(b"a").hexdigest()
    assert len(seen) == 1


def test_a_file_that_was_just_written_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second edit within the clock's grain would have the same times."""
    seen = reads(monkeypatch)
    (tmp_path / "f").write_text("a")
    digest(tmp_path, "f")
    digest(tmp_path, "f")
    assert len(seen) == 2


def test_an_edit_that_sets_its_time_back_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest_cache, "_RACE_NS", -1)
    (tmp_path / "f").write_text("a")
    first, before = digest(tmp_path, "f"), (tmp_path / "f").stat()
    while (tmp_path / "f").stat().st_ctime_ns == before.st_ctime_ns:
        (tmp_path / "f").write_text("b")
        os.utime(tmp_path / "f", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digest(tmp_path, "f") != first


@pytest.mark.parametrize("damage", [b"", b"\xc1", b"\x81\xa1x\x01"])
def test_a_damaged_cache_is_none(tmp_path: Path, home: Path, damage: bytes) -> None:
    (home / "digests").mkdir(parents=True)
    (home / "digests" / "c.msgpack").write_bytes(damage)
    (tmp_path / "f").write_text("a")
    assert digest(tmp_path, "f") == hashlib.sha256(b"a").hexdigest()


def test_it_is_bounded(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest_cache, "_RACE_NS", -1)
    monkeypatch.setattr(digest_cache, "LIMIT", 200)
    (tmp_path / "f").write_text("a")
    for number in range(9):
        digest(tmp_path, "f", f"c{number}")
    kept = sorted(path.name for path in (home / "digests").iterdir())
    assert "c8.msgpack" in kept
    assert len(kept) < 5


def test_a_home_that_cannot_be_written_costs_time_only(tmp_path: Path, home: Path) -> None:
    home.write_text("not a folder")
    (tmp_path / "f").write_text("a")
    assert digest(tmp_path, "f") == hashlib.sha256(b"a").hexdigest()


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a")
    status = (tmp_path / "f").stat()
    (tmp_path / "f").unlink()
    with pytest.raises(Usage, match=r"name it in \.dockerignore"):
        DigestCache("c").digests(str(tmp_path), [("f", status)])
