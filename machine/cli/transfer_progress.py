"""Progress of pull, push, load and import: one live line on a terminal, a few plain lines otherwise; all on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Final, TextIO

from hostagent.wire import Progress
from machine.cli import show
from machine.cli.console import note
from machine.cli.output import width

_BAR: Final = 20
_EVERY: Final = 0.1
_DONE: Final = (
    "Pull complete",
    "Already exists",
    "Pushed",
    "Layer already exists",
    "Mounted from",
    "Loaded layer",
)
_MOVING: Final = ("Downloading", "Pushing", "Loading layer", "Extracting")


class Tally:
    """What the reports of all layers add up to."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}
        self._done: set[str] = set()

    def add(self, report: Progress) -> bool:
        """True if the report was about a layer (and not a message of its own)."""
        if not report.id or not report.status or report.status.startswith("Pulling from"):
            return False
        _, total = self._layers.get(report.id, (0, 0))
        detail = report.progress_detail
        current = self._layers.get(report.id, (0, 0))[0]
        if report.status.startswith(_MOVING[:3]) and detail is not None and detail.current:
            total = max(total, detail.total, detail.current)
            current = detail.current
        if report.status.startswith(("Download complete", *_DONE)):
            current = total
        if report.status.startswith(_DONE):
            self._done.add(report.id)
        self._layers[report.id] = (current, total)
        return True

    def line(self) -> str:
        """`████░░░░  41MB/54MB  3 of 7 layers`"""
        current = sum(pair[0] for pair in self._layers.values())
        total = sum(pair[1] for pair in self._layers.values())
        layers = f"{len(self._done)} of {len(self._layers)} layers"
        if not total:
            return layers
        filled = _BAR * current // total
        return f"{'█' * filled}{'░' * (_BAR - filled)}  {show.size(current)}/{show.size(total)}  {layers}"


def follow(title: str, reports: Iterable[Progress], *, quiet: bool = False) -> list[str]:
    """Reads the reports to their end, showing them; returns the messages that were not about a layer.

    Raises what the stream says: DaemonError.
    """
    live = None if quiet else LiveLine(sys.stderr)
    tally = Tally()
    messages: list[str] = []
    if live is not None and not live.works:
        note(title)
    began = shown = time.monotonic()
    try:
        for report in reports:
            if not tally.add(report):
                text = (report.stream or report.status).strip()
                if text:
                    messages.append(f"{report.id}: {text}" if report.id else text)
            elif live is not None and time.monotonic() - shown > _EVERY:
                shown = time.monotonic()
                live.show(f"{title}  {tally.line()}")
    finally:
        if live is not None:
            live.clear()
    if live is not None and live.works:
        note(f"{title}  {time.monotonic() - began:.1f} s")
    return messages


class LiveLine:
    """One line that is rewritten in place; silent where there is no terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = False
        self.works = stream.isatty()

    def show(self, text: str) -> None:
        if self.works:
            self._stream.write(f"\r\x1b[K{_cut(text)}")
            self._stream.flush()
            self._shown = True

    def clear(self) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False


def _cut(text: str) -> str:
    import shutil

    columns = shutil.get_terminal_size().columns - 1
    while width(text) > columns:
        text = text[:-1]
    return text
