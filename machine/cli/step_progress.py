"""Shows a workflow's steps as they go: a ✓ line each with its time, the running one live on a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from machine.cli.console import note, paint
from machine.cli.output import width
from machine.cli.transfer_progress import LiveLine

if TYPE_CHECKING:
    from machine.workflow.progress import StepEvent

_TITLE: Final = 36
_BRIEF: Final = 0.05
_MARKS: Final = {
    "done": ("✓", "green"),
    "kept": ("✓", "dim"),
    "undone": ("✓", "green"),
    "failed": ("✗", "red"),
}


class StepLines:
    """A Progress for the workflows. `verbose`: each step's description when it begins. `quiet`: nothing at all.

    `machine`: several are made at once; lines begin with its name, and only what is done is shown.
    """

    def __init__(self, *, verbose: int = 0, quiet: bool = False, machine: str = "") -> None:
        self._live = LiveLine(sys.stderr)
        self._machine = machine
        self._verbose = verbose
        self._quiet = quiet
        self._described: set[str] = set()

    def __call__(self, event: StepEvent) -> None:
        if self._quiet:
            return
        if self._verbose and event.step not in self._described:
            self._live.clear()
            note(paint(f"    {event.describe}", "dim"))
        self._described.add(event.step)
        if self._machine:
            if event.state != "running":
                mark, colour = _MARKS[event.state]
                note(f"{self._machine}{line(event, paint(mark, colour))}")
            return
        if event.state == "running":
            self._live.show(line(event, "…"))
            return
        self._live.clear()
        mark, colour = _MARKS[event.state]
        note(line(event, paint(mark, colour)))


def line(event: StepEvent, mark: str) -> str:
    """`  ✓ host dev1                          1.9 s   10.89.0.2`; a step of no time shows what it said instead."""
    detail = event.detail if event.state != "failed" else ""
    spent = f"{event.seconds:.1f} s"
    if event.state == "kept":
        spent, detail = "done before", ""
    elif event.state == "undone":
        spent, detail = "removed", ""
    elif event.seconds < _BRIEF and event.state == "done":
        spent, detail = detail, ""
    title = event.step + " " * (_TITLE - width(event.step))
    return f"  {mark} {title} {spent}{'   ' + detail if detail else ''}".rstrip()
