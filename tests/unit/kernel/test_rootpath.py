"""Paths inside a root that tries to lead outside; needs no root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostagent.kernel import rootpath


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    fd = os.open(tmp_path / "root", os.O_PATH)
    yield fd
    os.close(fd)


def test_symlinks_and_dots_end_at_the_root(root: int, tmp_path: Path) -> None:
    inside = tmp_path / "root"
    (inside / "secret").write_text("inside")
    (inside / "absolute").symlink_to("/secret")
    (inside / "dots").symlink_to("../../../outside/../../../../secret")
    for name in ("secret", "/absolute", "../../secret", "/dots/../secret"):
        try:
            assert rootpath.read_in_root(root, name) == b"inside", name
        except (FileNotFoundError, NotADirectoryError):
            assert name == "/dots/../secret"


def test_made_directories_stay_inside(root: int, tmp_path: Path) -> None:
    inside = tmp_path / "root"
    (inside / "link").symlink_to("/made/by/link")
    (inside / "up").symlink_to("../../outside")
    for path in ("/link/x", "/up/y", "a/b/../c"):
        try:
            os.close(rootpath.mkdirs_in_root(root, path))
        except FileNotFoundError:
            assert path == "a/b/../c"
    assert (inside / "made/by/link/x").is_dir()
    assert (inside / "outside/y").is_dir()
    assert [entry.name for entry in (tmp_path / "outside").iterdir()] == ["secret"]


def test_touch(root: int, tmp_path: Path) -> None:
    (tmp_path / "root/dangling").symlink_to("/etc/target")
    os.close(rootpath.touch_in_root(root, "/etc/resolv.conf"))
    os.close(rootpath.touch_in_root(root, "/dangling"))
    assert sorted(entry.name for entry in (tmp_path / "root/etc").iterdir()) == ["resolv.conf", "target"]


def test_what_exists_is_left_alone(root: int, tmp_path: Path) -> None:
    (tmp_path / "root/file").write_text("kept")
    os.close(rootpath.touch_in_root(root, "/file"))
    assert (tmp_path / "root/file").read_text() == "kept"
    with pytest.raises(NotADirectoryError):
        rootpath.mkdirs_in_root(root, "/file/below")


def test_link_loops_are_refused(root: int, tmp_path: Path) -> None:
    (tmp_path / "root/a").symlink_to("b")
    (tmp_path / "root/b").symlink_to("a")
    for make in (rootpath.mkdirs_in_root, rootpath.touch_in_root):
        with pytest.raises(OSError, match="symbolic links"):
            make(root, "/a/x")


def test_magic_links_are_refused() -> None:
    root = os.open("/", os.O_PATH)
    try:
        with pytest.raises(OSError, match="symbolic links"):
            rootpath.open_in_root(root, "/proc/self/cwd", os.O_PATH)
    finally:
        os.close(root)


def test_a_fifo_does_not_block(root: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "root/fifo")
    assert rootpath.read_in_root(root, "/fifo") == b""


NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "up", "abs"]), min_size=1, max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(NAMES, st.booleans())
def test_nothing_is_ever_made_outside(root: int, tmp_path: Path, names: list[str], directory: bool) -> None:
    inside = tmp_path / "root"
    for link, target in (("up", "../.."), ("abs", "/a/b")):
        if not (inside / link).is_symlink():
            (inside / link).symlink_to(target)
    make = rootpath.mkdirs_in_root if directory else rootpath.touch_in_root
    try:
        os.close(make(root, "/".join(names)))
    except OSError:
        pass  # refused is fine, outside is not
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["outside", "root"]
    assert [entry.name for entry in (tmp_path / "outside").iterdir()] == ["secret"]
