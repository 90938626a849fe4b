"""What whoever watches a workflow is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

StepState = Literal["running", "done", "failed", "kept", "undone"]


@dataclass(frozen=True)
class StepEvent:
    """`kept`: done by an earlier command that was cut off. `detail` is what the step last said (may be empty)."""

    step: str
    state: StepState
    seconds: float  # since the step began
    detail: str
    describe: str  # what the step does, for -v


Progress = Callable[[StepEvent], None]


def silent(event: StepEvent) -> None:
    """For callers that do not watch."""
