"""What a build says, shown by steps: one live line on a terminal, nothing when piped, all of it when asked for.

It reads the words of Docker's classic builder, which all engines speak.
"""

from __future__ import annotations

import re
import sys
import time
from collections import deque
from collections.abc import Iterable
from typing import Final

from hostagent.wire import Progress
from machine.cli.console import note, paint
from machine.cli.transfer_progress import LiveLine
from machine.errors import DaemonError, MachineError

MODES: Final = ("auto", "plain", "tty", "quiet")
_STEP: Final = re.compile(r"Step (\d+)/(\d+) : (.*)", re.DOTALL)
_SILENT: Final = (
    " ---> ",
    "Removing intermediate container",
    "Removed intermediate container",
    "Successfully ",
)
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LAST: Final = 20
"""Lines of a step that are shown when it fails."""
_EVERY: Final = 0.1


def follow(reports: Iterable[Progress], mode: str) -> str:
    """Reads the reports to their end; the image's ID. A failure is told with the last lines of its step. Raises
    MachineError."""
    shown = _shown(mode)
    image = ""
    try:
        for report in reports:
            image = str((report.aux or {}).get("ID", image))
            for text in filter(None, (report.stream, report.status)):
                shown.add(text)
    except DaemonError as error:
        shown.fail()
        raise MachineError(str(error)) from error
    finally:
        shown.clear()
    shown.end()
    if not image:
        raise MachineError("the engine ended the build without saying which image it made: try again")
    return image


def _shown(mode: str) -> _Steps | _Plain:
    return (
        _Plain()
        if mode == "plain"
        else _Steps(live=mode == "tty" or (mode == "auto" and sys.stderr.isatty()))
    )


class _Plain:
    """Everything, as it comes."""

    def add(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()

    def fail(self) -> None:
        """All is there already."""

    def clear(self) -> None:
        """Nothing is live."""

    def end(self) -> None:
        """Nothing is open."""


class _Steps:
    """A line for each step; the last lines of its output are kept for the case that it fails."""

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._line = LiveLine(sys.stderr)
        self._title = ""
        self._cached = False
        self._began = self._drawn = 0.0
        self._output: deque[str] = deque(maxlen=_LAST)
        self._rest = ""

    def add(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._add_line(line)
        self._draw()

    def _add_line(self, line: str) -> None:
        bare = _COLOURS.sub("", line).rstrip("\r")
        if step := _STEP.fullmatch(bare):
            self.end()
            number, total, text = step.groups()
            self._title, self._cached, self._began = f"[{number}/{total}] {text}", False, time.monotonic()
            self._output.clear()
        elif bare == " ---> Using cache":
            self._cached = True
        elif bare and not bare.startswith(_SILENT):
            self._output.append(bare)

    def _draw(self) -> None:
        now = time.monotonic()
        if self._live and self._title and now - self._drawn > _EVERY:
            self._drawn = now
            last = self._output[-1].rpartition("\r")[2].strip() if self._output else ""
            self._line.show(f"  … {self._title}  {now - self._began:.1f} s  {last}".replace("\t", " "))

    def end(self) -> None:
        """The step that was under way is done."""
        if self._live and self._title:
            self.clear()
            spent = "cached" if self._cached else f"{time.monotonic() - self._began:.1f} s"
            note(f"  {paint('✓', 'dim' if self._cached else 'green')} {self._title}   {spent}")
        self._title = ""

    def fail(self) -> None:
        """The step that was under way has failed: its last words are what a person needs."""
        self.clear()
        if self._title:
            note(f"  {paint('✗', 'red')} {self._title}")
        for line in (*self._output, *filter(None, [self._rest])):
            note(f"    {line}")

    def clear(self) -> None:
        self._line.clear()
