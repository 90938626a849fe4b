"""Runs steps forward and back, with a journal, so that any death in the middle can be resumed or undone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from machine.drivers.base import Step
from machine.errors import MachineError, Spoiled
from machine.model.machine import Machine
from machine.store.store import Entry
from machine.workflow import interrupts
from machine.workflow.progress import Progress, StepEvent, StepState


class Runner:
    """For one machine, whose lock the caller holds."""

    def __init__(self, entry: Entry, progress: Progress) -> None:
        self._entry = entry
        self._progress = progress

    def forward(self, steps: Sequence[Step], machine: Machine) -> Machine:
        """Executes those steps that the journal does not call done; the record is saved after each.

        A step is announced in the journal before it begins, so that `back` knows of everything that may exist.
        """
        history = self._entry.journal.read()
        for step in steps:
            if history.is_done(step.name):
                self._progress(StepEvent(step.name, "kept", 0.0, "", step.describe()))
                continue
            interrupts.check()
            self._entry.journal.add("begun", step.name)
            machine = self._execute(step, machine)
        return machine

    def _execute(self, step: Step, machine: Machine) -> Machine:
        watch = _Watch(step, self._progress)
        watch.tell("running")
        try:
            machine = step.execute(machine, watch.say)
            self._entry.write(machine)
        except OSError as error:
            # A full disk, a file that may not be written: the system's words, and where.
            where = f": {error.filename}" if error.filename else ""
            failure = MachineError(f'the step "{step.name}" failed: {error.strerror or error}{where}')
            self._fail(step, watch, failure)
            raise failure from error
        except BaseException as error:
            self._fail(step, watch, error)
            raise
        self._entry.journal.add("done", step.name, watch.detail)
        watch.tell("done")
        return machine

    def _fail(self, step: Step, watch: _Watch, error: BaseException) -> None:
        reason = str(error) or type(error).__name__
        watch.tell("failed", reason)
        with suppress(MachineError):  # on a full disk the journal stays at "begun", which is as good
            if isinstance(error, Spoiled) and error.step:
                self._entry.journal.add("failed", error.step, reason)
            self._entry.journal.add("failed", step.name, reason)

    def back(self, steps: Sequence[Step], machine: Machine) -> None:
        """Undoes all steps, last first. All: an undo is harmless, and a journal may have lost its last line."""
        history = self._entry.journal.read()
        for step in reversed(steps):
            if history.state.get(step.name) == "undone":
                continue
            watch = _Watch(step, self._progress)
            step.undo(machine, watch.say)
            self._entry.journal.add("undone", step.name)
            if watch.detail:  # what there is to undo says so
                watch.tell("undone")


class _Watch:
    """Times one step and passes on what it says."""

    def __init__(self, step: Step, progress: Progress) -> None:
        self._step = step
        self._progress = progress
        self._began = time.monotonic()
        self.detail = ""

    def say(self, detail: str) -> None:
        self.detail = detail
        self.tell("running")

    def tell(self, state: StepState, detail: str | None = None) -> None:
        seconds = time.monotonic() - self._began
        shown = self.detail if detail is None else detail
        self._progress(StepEvent(self._step.name, state, seconds, shown, self._step.describe()))
