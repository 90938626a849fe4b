"""Docker's times on the wire: RFC 3339 with nanoseconds, and Unix seconds with a fraction."""

from __future__ import annotations

import calendar
import time


def parse_rfc3339(text: str) -> int:
    """`2026-11-24T09:00:00.123456789Z` -> nanoseconds since the epoch. Only UTC, as we write it."""
    head, _, fraction = text.rstrip("Z").partition(".")
    seconds = calendar.timegm(time.strptime(head, "%Y-%m-%dT%H:%M:%S"))
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or 0)
