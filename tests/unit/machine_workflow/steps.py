"""Small real steps for the runner's tests; also a program that runs them and may kill itself in the middle.

python steps.py HOME MOMENT    MOMENT counts the points at which a kill -9 may come; -1: none
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from machine.drivers.base import Say
from machine.model.machine import Machine
from machine.store.store import Store
from machine.workflow.progress import silent
from machine.workflow.runner import Runner

NAMES = ("first", "second", "third")


@dataclass(frozen=True)
class FileStep:
    """Makes a folder with a file, in two parts; the record gets a line."""

    name: str
    world: Path
    point: Callable[[], None]

    def describe(self) -> str:
        return f"make {self.name}"

    def execute(self, machine: Machine, say: Say) -> Machine:
        self.point()
        (self.world / self.name).mkdir(exist_ok=True)
        self.point()
        with open(self.world / self.name / "runs", "a") as file:
            file.write("x")
        self.point()
        say(f"{self.name} made")
        return replace(machine, driver_data={**machine.driver_data, self.name: "made"})

    def undo(self, machine: Machine, say: Say) -> None:
        self.point()
        (self.world / self.name / "runs").unlink(missing_ok=True)
        self.point()
        if (self.world / self.name).exists():
            (self.world / self.name).rmdir()
            say("removed")


def points(moment: int) -> Callable[[], None]:
    def count() -> Iterator[int]:
        yield from range(1_000_000)

    numbers = count()

    def point() -> None:
        if next(numbers) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    return point


def steps(world: Path, moment: int) -> tuple[FileStep, ...]:
    point = points(moment)
    return tuple(FileStep(name, world, point) for name in NAMES)


def main() -> None:
    home, verb, moment = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    store = Store(home / "store")
    entry = store.make("dev1")
    (home / "world").mkdir(exist_ok=True)
    machine = entry.read() or Machine(name="dev1", driver="local", address="")
    runner = Runner(entry, silent)
    if verb == "forward":
        runner.forward(steps(home / "world", moment), machine)
        entry.journal.add("complete")
    else:
        runner.back(steps(home / "world", moment), machine)


if __name__ == "__main__":
    main()
