"""Progress in the shape of Docker's JSON messages (moby's jsonmessage): one line of the answer to pull, push, load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Aux = dict[str, str | int]
JsonValue = str | int | dict[str, int] | dict[str, str] | Aux


@dataclass(frozen=True)
class Progress:
    """One message. `current`/`total` in bytes; total 0 = unknown; None = no progressDetail in this message."""

    status: str = ""
    id: str = ""
    current: int | None = None
    total: int = 0
    stream: str = ""
    error: str = ""
    aux: Aux = field(default_factory=dict)

    def to_json(self) -> dict[str, JsonValue]:
        """The message as clients expect it; empty members are left out."""
        message: dict[str, JsonValue] = {}
        if self.stream:
            message["stream"] = self.stream
        if self.status:
            message["status"] = self.status
        if self.current is not None:
            detail = {"current": self.current, "total": self.total}
            message["progressDetail"] = {key: value for key, value in detail.items() if value}
            if self.current:
                message["progress"] = bar(self.current, self.total)
        if self.id:
            message["id"] = self.id
        if self.error:
            message["errorDetail"] = {"message": self.error}
            message["error"] = self.error
        if self.aux:
            message["aux"] = self.aux
        return message


Tell = Callable[[Progress], None]


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
