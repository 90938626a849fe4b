"""~/.pymachine: a folder per machine with its record, its journal and its keys.

    machines/<name>/machine.json    the record (machine.model.machine)
    machines/<name>/journal.jsonl   what `create` did (machine.store.journal)
    machines/<name>/id_ed25519      our key for this machine alone, and .pub
    machines/<name>/<driver>/       the driver's own
    active                          name of the machine chosen by `pymachine use`
    locks/<name>                    held while a command changes the machine

This is a cache of what the cloud and the host know, except for the keys.
"""

from __future__ import annotations

import os
import shutil
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from machine.errors import Conflict, NotFound
from machine.model.machine import Machine, check_name
from machine.model.paths import home
from machine.store.files import sync_directory, write_atomically, writing
from machine.store.journal import Journal
from machine.store.lock import locked


@dataclass(frozen=True)
class Summary:
    """A line of `pymachine ls`. Half-made machines have `complete` False and say where they stopped."""

    name: str
    driver: str
    machine: Machine | None  # None: stopped before there was a record, or the record is damaged
    complete: bool
    unfinished: str
    active: bool


class Entry:
    """The folder of one machine."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.name = directory.name
        self.journal = Journal(directory / "journal.jsonl")

    @property
    def identity_file(self) -> Path:
        return self.directory / "id_ed25519"

    def read(self) -> Machine | None:
        """The record, or None when there is none yet. Raises MachineError: damaged, or of a newer version."""
        try:
            return Machine.from_json((self.directory / "machine.json").read_bytes())
        except FileNotFoundError:
            return None

    def write(self, machine: Machine) -> None:
        write_atomically(self.directory / "machine.json", machine.to_json())


class Store:
    """`directory`: usually machine.model.paths.home(); made when the first machine is."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or home()

    def entry(self, name: str) -> Entry:
        """The folder of `name`, which may not exist. Raises Usage for a name that could leave the folder."""
        return Entry(self.directory / "machines" / check_name(name))

    def exists(self, name: str) -> bool:
        return self.entry(name).directory.is_dir()

    def make(self, name: str) -> Entry:
        """Makes the folder (0700). It may be there already, without a record: a create that died early."""
        entry = self.entry(name)
        with writing(entry.directory):
            entry.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.directory.chmod(0o700)
            sync_directory(entry.directory.parent)
        return entry

    def get(self, name: str) -> Machine:
        """The record of a machine. NotFound names those that there are; Conflict: not finished."""
        entry = self.entry(name)
        machine = entry.read()
        if machine is not None:
            return machine
        if entry.directory.is_dir():
            raise Conflict(f'machine "{name}" is half made.  Finish it:  {resume_hint(entry)}')
        names = self.names()
        there = f"There is {', '.join(names)}" if names else "There is none yet:  pymachine create local dev1"
        raise NotFound(f'no machine named "{name}". {there}')

    def save(self, machine: Machine) -> None:
        self.entry(machine.name).write(machine)

    def forget(self, name: str) -> None:
        """Removes the folder; afterwards nothing of the machine is left here."""
        if self.active() == name:
            self.use(None)
        directory = self.entry(name).directory
        # Renamed first: a removal that is cut off never leaves a machine with half of its files.
        gone = directory.with_name(f".gone-{name}-{os.getpid()}")
        if directory.exists():
            os.rename(directory, gone)
        for left in directory.parent.glob(f".gone-{name}-*"):
            shutil.rmtree(left)
        with suppress(OSError):
            directory.parent.rmdir()  # only when it was the last machine

    def names(self) -> list[str]:
        try:
            found = [p.name for p in (self.directory / "machines").iterdir() if not p.name.startswith(".")]
        except FileNotFoundError:
            return []
        return sorted(found)

    def list(self) -> list[Summary]:
        """All machines by name, half-made ones included. Never raises for a damaged record: it is shown."""
        active = self.active()
        return [self._summary(self.entry(name), active) for name in self.names()]

    def active(self) -> str | None:
        try:
            return (self.directory / "active").read_text().strip() or None
        except FileNotFoundError:
            return None

    def use(self, name: str | None) -> None:
        """Makes `name` the active machine (NotFound when there is no such machine); None: no machine is."""
        if name is None:
            (self.directory / "active").unlink(missing_ok=True)
            return
        self.get(name)
        write_atomically(self.directory / "active", f"{name}\n".encode())

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Held while a command changes the machine; Conflict when another one does."""
        path = self.directory / "locks" / check_name(name)
        return locked(path, f'another pymachine command is working on "{name}": wait for it')

    def driver_lock(self, driver: str) -> AbstractContextManager[None]:
        """Held for moments, around what all machines of a driver share (bridge, addresses, caches)."""
        path = self.directory / "locks" / f".driver-{driver}"
        return locked(path, f"the {driver} driver is busy for another command: try again", patience=60.0)

    def _summary(self, entry: Entry, active: str | None) -> Summary:
        from machine.errors import MachineError

        try:
            history = entry.journal.read()
            machine = entry.read()
        except MachineError as error:
            return Summary(entry.name, "?", None, False, str(error), entry.name == active)
        driver = machine.driver if machine is not None else history.order.get("driver", "?")
        unfinished = "" if history.complete else history.unfinished or "not begun"
        if history.removing:
            unfinished = "being removed"
        return Summary(entry.name, driver, machine, history.complete, unfinished, entry.name == active)


def resume_hint(entry: Entry) -> str:
    """The commands that finish or undo a half-made machine."""
    driver = entry.journal.read().order.get("driver", "local")
    return f"pymachine create {driver} {entry.name}   Or undo it:  pymachine rm {entry.name}"
