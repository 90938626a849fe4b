"""Rules of names and options, filters, and which places are worth a copy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.engine.files import bindtext
from hostagent.errors import EngineError, Invalid
from hostagent.statedb.database import Database
from hostagent.volume import filters
from hostagent.volume.copying import Place, shifted
from hostagent.volume.population import fill_at_once, may_exist
from hostagent.volume.store import VolumeStore
from hostagent.volume.volume import ANONYMOUS_LABEL, Volume, check_name, check_options


@pytest.mark.parametrize("name", ["data", "a1", "A_b.c-d", "0" * 64])
def test_good_names(name: str) -> None:
    check_name(name)


@given(st.text(), st.sampled_from(["/", "\n", "\0", ":", " "]), st.text())
def test_a_name_is_never_a_way_out(before: str, wrong: str, after: str) -> None:
    with pytest.raises(Invalid):
        check_name(f"{before}{wrong}{after}")


@pytest.mark.parametrize("name", ["..", ".hidden", "-o", "_x", "x", "a\n"])
def test_bad_names(name: str) -> None:
    with pytest.raises(Invalid):
        check_name(name)


@pytest.mark.parametrize("size", ["0", "0b", "0.0 MiB"])
def test_no_size_is_no_quota(size: str) -> None:
    check_options("x", {"size": size})


@pytest.mark.parametrize("size", ["10m", "0.5g", "1", "x", "", "-1", "1 parsec"])
def test_sizes_are_refused(size: str) -> None:
    with pytest.raises(Invalid, match=r"quota|invalid size"):
        check_options("x", {"size": size})


@pytest.mark.parametrize(
    ("options", "bind", "words"),
    [
        ("bind", True, ("bind",)),
        ("ro,rbind", True, ("ro", "rbind")),
        ("size=1m,,uid=1", False, ("size=1m", "uid=1")),
    ],
)
def test_file_system_options(options: str, bind: bool, words: tuple[str, ...]) -> None:
    filesystem = Volume("x", 0, None, {"type": "t", "device": "d", "o": options}).filesystem
    assert filesystem is not None
    assert (filesystem.bind, filesystem.words) == (bind, words)
    assert Volume("x", 0, None, {"size": "0"}).filesystem is None


VOLUMES = [
    Volume("used", 1, {"a": "b"}),
    Volume("named", 2, {"a": "c"}),
    Volume("0" * 64, 3, {ANONYMOUS_LABEL: ""}),
    Volume("mounted", 4, {ANONYMOUS_LABEL: ""}, {"type": "tmpfs", "device": "tmpfs"}),
]
USED = frozenset({"used"})


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ({}, ["used", "named", "0" * 64, "mounted"]),
        ({"dangling": ["1"]}, ["named", "0" * 64, "mounted"]),
        ({"dangling": ["false"]}, ["used"]),
        ({"name": ["^n", "^m"]}, ["named", "mounted"]),
        ({"label": ["a"]}, ["used", "named"]),
        ({"label": ["a", "a=c"]}, ["named"]),
        ({"driver": ["local", "x"], "name": ["used"]}, ["used"]),
    ],
)
def test_list_filters(chosen: dict[str, list[str]], names: list[str]) -> None:
    assert [volume.name for volume in filters.select(VOLUMES, chosen, USED)] == names


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ({}, ["0" * 64]),
        ({"all": ["true"]}, ["named", "0" * 64]),
        ({"all": ["1"], "label!": ["a=c"]}, ["0" * 64]),
        ({"all": ["0"], "label": ["a"]}, []),
    ],
)
def test_prune_filters(chosen: dict[str, list[str]], names: list[str]) -> None:
    assert [volume.name for volume in filters.prunable(VOLUMES, chosen, USED)] == names


@given(st.text(alphabet="abrwozZn:/,.", max_size=12))
def test_any_text_is_split_or_refused(raw: str) -> None:
    try:
        text = bindtext.split(raw)
        place = text.destination
    except Invalid:
        return
    assert place.startswith("/")
    assert place != "/"
    assert ".." not in place.split("/")
    assert bindtext.valid_mode(text.mode)


def test_a_worker_is_asked_only_for_what_there_is_to_copy(tmp_path: Path) -> None:
    layer, top, target, full = (tmp_path / name for name in ("layer", "top", "target", "full"))
    for directory in (layer / "empty", layer / "data" / "file", top / "empty", target, full / "x"):
        directory.mkdir(parents=True)
    (top / "empty").chmod(0o1750)
    (layer / "link").symlink_to("/elsewhere")
    lower = [str(top), str(layer)]
    assert [may_exist(path, lower) for path in ("/data", "/empty", "/link/x", "/data/no")] == [
        True,
        True,
        True,
        False,
    ]
    wanted = [Place("/data", str(target)), Place("/link", str(target))]
    idle = [Place("/data", str(full)), Place("/missing", str(target)), Place("/data/no", str(target))]
    assert fill_at_once([*wanted, *idle], lower, (), ()) == tuple(wanted)
    assert fill_at_once([Place("/empty", str(target))], lower, (), ()) == ()
    assert target.stat().st_mode & 0o7777 == 0o1750


def test_ids_are_shifted_over_all_ranges() -> None:
    ranges = ((1000, 10), (5000, 10))
    assert [shifted(number, ranges) for number in (0, 9, 10, 19)] == [1000, 1009, 5000, 5009]
    assert shifted(7, ()) == 7
    with pytest.raises(OSError, match="ID 20"):
        shifted(20, ranges)


@contextmanager
def opened(root: Path) -> Iterator[VolumeStore]:
    database = Database(root / "state.db")
    try:
        yield VolumeStore(root, database, lambda path: shutil.rmtree(path, ignore_errors=True))
    finally:
        database.close()


def names_after_recovery(root: Path, used: frozenset[str] = frozenset()) -> list[str]:
    """What the next daemon finds."""
    with opened(root) as store:
        store.recover(used)
        return sorted(volume.name for volume in store.all())


def test_what_a_container_needed_goes_with_its_creation(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.create("done", None, None)
        store.create("making", None, None, "container")
        store.create("shared", None, None, "container")
        store.create("wanted", None, None, "container")
        store.settle("wanted")
        assert sorted(store.made_for("container")) == ["making", "shared"]
    left = ["done", "shared", "wanted"]
    assert names_after_recovery(tmp_path, frozenset({"shared"})) == left
    assert names_after_recovery(tmp_path) == left
    assert sorted(each.name for each in (tmp_path / "volumes").iterdir()) == left


def test_settled_with_the_container(tmp_path: Path) -> None:
    with opened(tmp_path) as store, store.settling("container"):
        store.create("data", {"a": "b"}, {"size": "0"}, "container")
    with opened(tmp_path) as store:
        store.recover(frozenset())
        (volume,) = store.all()
    assert (volume.name, volume.labels, volume.options) == ("data", {"a": "b"}, {"size": "0"})


def test_a_removal_that_was_cut_short(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.remove(store.create("", None, None))
    assert names_after_recovery(tmp_path) == []
    assert list((tmp_path / "volumes").iterdir()) == []


def test_a_name_that_the_file_system_does_not_take(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        with pytest.raises(EngineError, match="file name too long"):
            store.create("n" * 256, None, None)
        assert store.all() == []


def test_a_directory_without_a_row_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as store:
        with monkeypatch.context() as patch:
            patch.setattr(Database, "execute", _full)
            with pytest.raises(EngineError, match="full"):
                store.create("data", None, None)
        assert list((tmp_path / "volumes").iterdir()) == []
        store.create("data", None, None)


def _full(self: Database, sql: str, parameters: object = ()) -> None:
    raise EngineError("the disk is full")
