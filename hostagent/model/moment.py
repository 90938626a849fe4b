"""Moments as Docker writes them: RFC 3339."""

from __future__ import annotations

import time


def rfc3339(time_ns: int) -> str:
    """Nanoseconds since 1970 in UTC, the fraction without its trailing zeros (Go's RFC3339Nano)."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + fraction + "Z"
