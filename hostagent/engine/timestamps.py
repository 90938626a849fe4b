"""Docker's times on the wire: RFC 3339 with nanoseconds, and Unix seconds with a fraction."""

from __future__ import annotations

import calendar
import time

from hostagent.model.moment import rfc3339
from hostagent.wire.container import NEVER


def parse_rfc3339(text: str) -> int:
    """`2026-11-24T09:00:00.123456789Z` -> nanoseconds since the epoch. Only UTC, as we write it."""
    head, _, fraction = text.rstrip("Z").partition(".")
    seconds = calendar.timegm(time.strptime(head, "%Y-%m-%dT%H:%M:%S"))
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or 0)


def timestamp(time_ns: int) -> str:
    """RFC 3339 in UTC with nanoseconds, as Docker writes it; Go's zero time for 0."""
    if not time_ns:
        return NEVER
    return rfc3339(time_ns)
