"""Steps forward and back, cut off by errors and by kill -9 at every point."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from machine.errors import MachineError, Spoiled
from machine.model.machine import Machine
from machine.store.store import Entry, Store
from machine.workflow.progress import StepEvent
from machine.workflow.runner import Runner
from tests.unit.machine_workflow.steps import NAMES, FileStep, steps

ROOT = Path(__file__).parents[3]
BLANK = Machine(name="dev1", driver="local", address="")


def world(tmp_path: Path) -> tuple[Entry, Path]:
    (tmp_path / "world").mkdir()
    return Store(tmp_path / "store").make("dev1"), tmp_path / "world"


def test_forward_saves_the_record_and_tells(tmp_path: Path) -> None:
    entry, place = world(tmp_path)
    events: list[StepEvent] = []
    machine = Runner(entry, events.append).forward(steps(place, -1), BLANK)
    assert machine.driver_data == dict.fromkeys(NAMES, "made") and entry.read() == machine
    assert [event.state for event in events if event.step == "first"] == ["running", "running", "done"]
    assert events[-1].detail == "third made" and events[-1].describe == "make third"


def test_a_second_run_keeps_what_is_done(tmp_path: Path) -> None:
    entry, place = world(tmp_path)
    machine = Runner(entry, lambda event: None).forward(steps(place, -1), BLANK)
    events: list[StepEvent] = []
    assert Runner(entry, events.append).forward(steps(place, -1), machine) == machine
    assert [event.state for event in events] == ["kept"] * 3
    assert (place / "first" / "runs").read_text() == "x"


def test_an_error_is_journalled_and_told(tmp_path: Path) -> None:
    entry, place = world(tmp_path)

    def fail() -> None:
        if (place / "second").exists():
            raise MachineError("no room")

    events: list[StepEvent] = []
    with pytest.raises(MachineError, match="no room"):
        Runner(entry, events.append).forward(tuple(FileStep(name, place, fail) for name in NAMES), BLANK)
    history = entry.journal.read()
    assert (history.unfinished, history.failure) == ("second", "no room") and history.is_done("first")
    assert (events[-1].state, events[-1].detail) == ("failed", "no room")
    assert Runner(entry, events.append).forward(
        steps(place, -1), entry.read() or BLANK
    ).driver_data.keys() == set(NAMES)


def test_back_undoes_last_first_and_only_once(tmp_path: Path) -> None:
    entry, place = world(tmp_path)
    machine = Runner(entry, lambda event: None).forward(steps(place, -1), BLANK)
    events: list[StepEvent] = []
    Runner(entry, events.append).back(steps(place, -1), machine)
    assert [(event.step, event.state) for event in events if event.state != "running"] == [
        (name, "undone") for name in reversed(NAMES)
    ]
    assert list(place.iterdir()) == []
    events.clear()
    Runner(entry, events.append).back(steps(place, -1), machine)
    assert events == []


def run(tmp_path: Path, verb: str, moment: int) -> int:
    command = [sys.executable, "-m", "tests.unit.machine_workflow.steps", str(tmp_path), verb, str(moment)]
    return subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode


@pytest.mark.parametrize("moment", range(9))
def test_killed_at_any_point_it_resumes(tmp_path: Path, moment: int) -> None:
    assert run(tmp_path, "forward", moment) == -9
    assert not Store(tmp_path / "store").list()[0].complete
    assert run(tmp_path, "forward", -1) == 0
    (summary,) = Store(tmp_path / "store").list()
    assert summary.complete and summary.machine is not None
    assert summary.machine.driver_data == dict.fromkeys(NAMES, "made")
    # Only the step that was cut off may have run twice.
    assert sum(len((tmp_path / "world" / name / "runs").read_text()) for name in NAMES) in (3, 4)


@pytest.mark.parametrize("moment", range(6))
def test_killed_at_any_point_of_the_way_back(tmp_path: Path, moment: int) -> None:
    assert run(tmp_path, "forward", 7) == -9
    assert run(tmp_path, "back", moment) == -9
    assert run(tmp_path, "back", -1) == 0
    assert list((tmp_path / "world").iterdir()) == []


def test_the_systems_errors_become_sentences(tmp_path: Path) -> None:
    entry, place = world(tmp_path)

    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/home/x/upper")

    with pytest.raises(MachineError, match='"first" failed: No space left on device: /home/x/upper'):
        Runner(entry, lambda event: None).forward((FileStep("first", place, full),), BLANK)
    assert entry.journal.read().unfinished == "first"


def test_a_step_whose_work_is_spoiled_is_done_again(tmp_path: Path) -> None:
    entry, place = world(tmp_path)

    def spoil() -> None:
        if (place / "third").exists():
            raise Spoiled("its disk was full", "second")

    with pytest.raises(Spoiled, match="its disk was full"):
        Runner(entry, lambda event: None).forward(
            tuple(FileStep(name, place, spoil) for name in NAMES), BLANK
        )
    history = entry.journal.read()
    assert history.state == {"first": "done", "second": "failed", "third": "failed"}
    events: list[StepEvent] = []
    Runner(entry, events.append).forward(steps(place, -1), entry.read() or BLANK)
    assert [event.state for event in events if event.state != "running"] == ["kept", "done", "done"]
    assert (place / "second" / "runs").read_text() == "xx"
