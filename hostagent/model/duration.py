"""Durations as Docker's clients and Dockerfiles write them: 1h30m, 1.5s, 100ms (Go's time.ParseDuration)."""

from __future__ import annotations

import re
from decimal import Decimal

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE = re.compile(rf"([+-]?)((?:{_PART.pattern})+)")


def parse_duration(text: str) -> int:
    """Nanoseconds. Raises ValueError in Go's words."""
    if text in ("0", "+0", "-0"):
        return 0
    match = _WHOLE.fullmatch(text)
    if match is None or (not text.isascii() and not any(unit in text for unit in ("µ", "μ"))):
        raise ValueError(f'time: invalid duration "{text}"')
    total = sum(int(Decimal(number) * _UNITS[unit]) for number, unit in _PART.findall(match[2]))
    return -total if match[1] == "-" else total
