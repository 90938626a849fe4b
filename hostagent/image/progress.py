"""Progress as Docker's JSON messages (moby's jsonmessage): one line of the answer to pull, push, load."""

from __future__ import annotations

from collections.abc import Callable

from hostagent import wire
from hostagent.image.jobs import Step

Tell = Callable[[wire.Progress], None]


def status(text: str, id: str = "") -> wire.Progress:
    """A line that is said once."""
    return wire.Progress(status=text, id=id)


def layer_status(text: str, chain_id: str) -> wire.Progress:
    """A layer's new state, without a bar; clients replace the line of this ID."""
    return wire.Progress(status=text, id=short(chain_id), progress_detail=wire.ProgressDetail())


def layer_step(step: Step, chain_id: str) -> wire.Progress:
    """A layer's bytes done and to do."""
    detail = wire.ProgressDetail(current=step.current, total=step.total)
    return wire.Progress(
        status=step.phase, id=short(chain_id), progress_detail=detail, progress=bar(step.current, step.total)
    )


def short(digest: str) -> str:
    """The 12 digits that people see."""
    return digest.removeprefix("sha256:")[:12]


def bar(current: int, total: int) -> str:
    """`[=====>      ]  1.2MB/12MB` for clients that print it as it is."""
    if total <= 0:
        return f"{human_size(current):>8}"
    filled = min(50, current * 50 // total)
    drawn = "=" * filled + (">" if filled < 50 else "")
    return f"[{drawn:<50}]  {human_size(current):>8}/{human_size(total)}"


def human_size(count: int) -> str:
    """Decimal units with four significant digits, as docker prints."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.4g}{unit}"
        value /= 1000
    return f"{value:.4g}TB"
