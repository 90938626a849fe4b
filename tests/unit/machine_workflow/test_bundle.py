"""Bundles: the same input gives the same bytes, the cache is used, wheels are unpacked as pip would."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest

from machine.errors import MachineError
from machine.workflow import bundle
from machine.workflow.bundle import Target

TARGET = Target("3.11", "x86_64")


def wheel(folder: Path) -> Path:
    path = folder / "small-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("small/__init__.py", "VALUE = 1\n")
        archive.writestr("small/__init__.pyi", "VALUE: int\n")
        archive.writestr("small-1.0.data/purelib/extra.py", "x = 1\n")
        archive.writestr("small-1.0.data/scripts/tool", "#!python\n")
        archive.writestr("small-1.0.dist-info/METADATA", "Name: small\n")
    return path


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A cache of its own, and a download that puts one wheel; the list counts downloads."""
    downloads: list[Path] = []

    def download(lock: Path, target: Target, into: Path) -> None:
        downloads.append(into)
        wheel(into)

    monkeypatch.setenv("PYMACHINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(bundle, "_download", download)
    return downloads


def test_contents_and_name(offline: list[Path]) -> None:
    made = bundle.ensure(TARGET, lambda text: None)
    release, _, digest = made.version.rpartition("-")
    assert release == "0.1.0" and made.sha256.startswith(digest) and len(digest) == 12
    with tarfile.open(made.path) as archive:
        names = archive.getnames()
        assert {info.mtime for info in archive} == {0} and {info.uid for info in archive} == {0}
    assert names == sorted(names)
    assert {
        "hostagent/daemon/main.py",
        "host/pymachine.socket",
        "host/docker",
        "small/__init__.py",
        "extra.py",
    } <= set(names)
    assert not [
        name
        for name in names
        if name.endswith((".pyc", ".pyi")) or "/scripts/" in name or "host/install" in name
    ]


def test_it_is_made_once_and_the_same_again(offline: list[Path]) -> None:
    first = bundle.ensure(TARGET, lambda text: None)
    content = first.path.read_bytes()
    assert bundle.ensure(TARGET, lambda text: None) == first
    first.path.unlink()
    assert bundle.ensure(TARGET, lambda text: None) == first and first.path.read_bytes() == content
    assert len(offline) == 1
    assert bundle.ensure(Target("3.13", "x86_64"), lambda text: None).path != first.path
    assert len(offline) == 2


def test_only_the_eight_last_used_are_kept(offline: list[Path], tmp_path: Path) -> None:
    for minor in range(11, 21):
        bundle.ensure(Target(f"3.{minor}", "x86_64"), lambda text: None)
    assert len(list((tmp_path / "cache/agent").glob("*.tar.gz"))) == 8


def test_no_index_is_a_clear_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYMACHINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(MachineError, match="h11"):
        bundle.ensure(TARGET, lambda text: None)
    assert list((tmp_path / "cache").rglob("*")) == []
