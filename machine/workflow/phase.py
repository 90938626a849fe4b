"""One visible part of work that needs no journal, because doing it twice is harmless."""

from __future__ import annotations

import time

from machine.workflow.progress import Progress, StepEvent, StepState


class Phase:
    """A context manager that reports how it goes."""

    def __init__(self, progress: Progress, name: str, describe: str) -> None:
        self._progress, self._name, self._describe = progress, name, describe
        self._began = time.monotonic()
        self._detail = ""

    def say(self, detail: str) -> None:
        self._detail = detail
        self._tell("running")

    def __enter__(self) -> Phase:
        self._tell("running")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._detail = str(error)
        self._tell("done" if error is None else "failed")

    def _tell(self, state: StepState) -> None:
        seconds = time.monotonic() - self._began
        self._progress(StepEvent(self._name, state, seconds, self._detail, self._describe))
