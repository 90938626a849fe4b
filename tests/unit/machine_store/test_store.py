"""Records, names, the active machine, and locks."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from machine.errors import Conflict, MachineError, NotFound, Usage
from machine.model.machine import Machine
from machine.store.cache import cache_directory
from machine.store.files import write_atomically
from machine.store.lock import locked
from machine.store.store import Store


def made(store: Store, name: str, *, complete: bool = True) -> Machine:
    entry = store.make(name)
    entry.journal.add("order", values={"driver": "local"})
    entry.journal.add("begun", "keys")
    machine = Machine(name=name, driver="local", address="10.89.0.2")
    entry.write(machine)
    if complete:
        entry.journal.add("done", "keys")
        entry.journal.add("complete")
    return machine


def test_an_empty_home_is_not_created_by_looking(tmp_path: Path) -> None:
    store = Store(tmp_path / "home")
    assert store.list() == [] and store.active() is None
    with pytest.raises(NotFound, match="pymachine create local dev1"):
        store.get("dev1")
    assert not (tmp_path / "home").exists()


def test_records_survive_and_are_private(tmp_path: Path) -> None:
    machine = made(Store(tmp_path), "dev1")
    assert Store(tmp_path).get("dev1") == machine
    for path in (tmp_path, tmp_path / "machines/dev1"):
        assert path.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "machines/dev1/machine.json").stat().st_mode & 0o777 == 0o600


def test_ls_shows_the_half_made_and_the_damaged(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made(store, "b")
    made(store, "a", complete=False)
    store.make("c").journal.add("order", values={"driver": "local"})
    made(store, "d")
    (tmp_path / "machines/d/machine.json").write_text("{")
    store.use("b")
    a, b, c, d = store.list()
    assert (a.name, a.complete, a.unfinished) == ("a", False, "keys")
    assert (b.complete, b.unfinished, b.active) == (True, "", True)
    assert (c.machine, c.driver, c.unfinished) == (None, "local", "not begun")
    assert (d.machine, d.complete) == (None, False) and "damaged" in d.unfinished


def test_an_unfinished_one_without_a_record_says_how_to_go_on(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.make("dev1").journal.add("order", values={"driver": "local"})
    with pytest.raises(Conflict, match=r"pymachine create local dev1 .* pymachine rm dev1"):
        store.get("dev1")


def test_unknown_names_list_those_that_there_are(tmp_path: Path) -> None:
    made(Store(tmp_path), "dev1")
    with pytest.raises(NotFound, match="There is dev1"):
        Store(tmp_path).get("dev2")


@pytest.mark.parametrize("name", ["", "..", "a/b", "-a", "a.b", "a" * 41, "ä"])
def test_names_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(Usage):
        Store(tmp_path).entry(name)


def test_forgetting_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made(store, "dev1")
    store.use("dev1")
    with store.lock("dev1"):
        (tmp_path / "machines/.gone-dev1-1").mkdir()  # of a removal that was cut off
        store.forget("dev1")
    assert store.active() is None
    assert list(tmp_path.iterdir()) == []


def test_one_command_at_a_time(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.lock("dev1"):
        with pytest.raises(Conflict, match='working on "dev1"'), store.lock("dev1"):
            pass
        with store.lock("dev2"):
            pass
    with store.lock("dev1"):
        pass


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys\nfrom machine.store.lock import locked\n"
        "with locked(pathlib.Path(sys.argv[1]), 'busy'):\n    os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "locks" / "dev1"
    done = subprocess.run([sys.executable, "-c", program, str(path)], timeout=30, check=False)
    assert done.returncode == -9 and path.exists()
    with locked(path, "busy"):
        pass
    assert not path.parent.exists()


def test_contenders_exclude_each_other(tmp_path: Path) -> None:
    """Four processes, five times each: read, add one, write. The lock's file comes and goes all the while."""
    counter, lock = tmp_path / "counter", tmp_path / "locks" / "x"
    counter.write_text("0")
    program = (
        "import pathlib, sys\nfrom machine.store.lock import locked\n"
        "counter, lock = map(pathlib.Path, sys.argv[1:])\n"
        "for _ in range(5):\n    with locked(lock, 'busy', patience=60):\n"
        "        counter.write_text(str(int(counter.read_text()) + 1))\n"
    )
    command = [sys.executable, "-c", program, str(counter), str(lock)]
    for process in [subprocess.Popen(command) for _ in range(4)]:
        assert process.wait(60) == 0
    assert counter.read_text() == "20"


def test_atomic_writes_leave_the_old_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old", 0o644)
    (tmp_path / "folder").mkdir()
    with pytest.raises(MachineError, match="Is a directory"):
        write_atomically(tmp_path / "folder", b"cannot replace a folder")
    assert path.read_bytes() == b"old" and path.stat().st_mode & 0o777 == 0o644
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_caches_are_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYMACHINE_CACHE", "/somewhere")
    assert cache_directory() == Path("/somewhere")


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "home")
    machine = made(store, "dev1")

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    said = r"/home/.* cannot be written \(No space left on device\): make room on its disk"
    for write in (lambda: store.save(machine), lambda: store.use("dev1"), lambda: store.make("dev2")):
        with pytest.raises(MachineError, match=said):
            write()
    with pytest.raises(MachineError, match=said):
        store.entry("dev1").journal.add("begun", "more")
    assert store.get("dev1") == machine and store.active() is None
    monkeypatch.setattr(os, "open", lambda *given: full(0))
    with pytest.raises(MachineError, match=said), store.lock("dev1"):
        pass
