"""What `create` has done so far, a JSON line per event: it can be resumed or undone after any death."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from machine.errors import MachineError
from machine.store.files import sync_directory, writing

Event = Literal["order", "begun", "done", "failed", "undone", "complete"]


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`at` is seconds since the epoch; `values` are the order's (driver, options) on the first line only."""

    event: Event
    step: str = ""
    at: float = 0.0
    detail: str = ""
    values: dict[str, str] = {}


@dataclass(frozen=True)
class History:
    """A journal, read."""

    order: dict[str, str] = field(default_factory=dict)
    state: dict[str, Event] = field(default_factory=dict)  # of each step, in the order in which they began
    failure: str = ""
    complete: bool = False
    removing: bool = False

    def is_done(self, step: str) -> bool:
        return self.state.get(step) == "done"

    @property
    def unfinished(self) -> str:
        """The step where it stopped, or an empty string."""
        return next((step for step, event in self.state.items() if event in {"begun", "failed"}), "")


class Journal:
    """Append-only; every line is on disk before the work that it announces begins."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(
        self, event: Event, step: str = "", detail: str = "", values: dict[str, str] | None = None
    ) -> None:
        """MachineError: it cannot be written."""
        entry = Entry(event=event, step=step, at=round(time.time(), 3), detail=detail, values=values or {})
        with writing(self._path):
            new = not self._path.exists()
            with open(self._path, "ab", opener=_private) as file:
                self._drop_torn_line(file)
                file.write(msgspec.json.encode(entry) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            if new:
                sync_directory(self._path.parent)

    def _drop_torn_line(self, file: BinaryIO) -> None:
        whole = self._path.read_bytes().rfind(b"\n") + 1
        if whole != file.seek(0, os.SEEK_END):
            file.truncate(whole)

    def read(self) -> History:
        """Raises MachineError for a damaged line; a torn last one is what a crash leaves: passed over."""
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return History()
        order: dict[str, str] = {}
        state: dict[str, Event] = {}
        failure, complete = "", False
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            try:
                entry = msgspec.json.decode(line, type=Entry)
            except msgspec.DecodeError as error:
                if number == len(lines):
                    break
                raise MachineError(f"{self._path} is damaged in line {number}: {error}") from error
            if entry.event == "order":
                order = entry.values
            elif entry.event == "complete":
                complete = True
            else:
                state[entry.step] = entry.event
                failure = entry.detail if entry.event == "failed" else ""
        removing = "undone" in state.values()
        return History(order, state, failure, complete and not removing, removing)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
