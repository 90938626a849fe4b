"""Docker's times on the wire: RFC 3339 with nanoseconds, and Unix seconds with a fraction."""

from __future__ import annotations

import calendar
import re
import time

from hostagent.errors import Invalid
from hostagent.model.duration import parse_duration
from hostagent.model.moment import rfc3339
from hostagent.wire.container import NEVER


def parse_rfc3339(text: str) -> int:
    """`2026-11-24T09:00:00.123456789Z` -> nanoseconds since the epoch. Only UTC, as we write it."""
    head, _, fraction = text.rstrip("Z").partition(".")
    seconds = calendar.timegm(time.strptime(head, "%Y-%m-%dT%H:%M:%S"))
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or 0)


_LAYOUTS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H", "%Y-%m-%d")
_ZONE = re.compile(r"(Z|[+-]\d\d:\d\d)$", re.IGNORECASE)
_UNIX = re.compile(r"(\d{1,18})(?:\.(\d{1,9}))?")


def parse_moment(text: str, now_ns: int) -> int:
    """A time in any form that Docker's filters take, as nanoseconds since 1970: a duration back from now (10m), a
    date with or without time and zone (without: UTC), or Unix seconds. Raises Invalid."""
    try:
        if text != "0":
            return (now_ns - parse_duration(text)) // 1_000_000_000 * 1_000_000_000
    except ValueError:
        pass
    if match := _UNIX.fullmatch(text):
        return int(match[1]) * 1_000_000_000 + int((match[2] or "").ljust(9, "0"))
    zone = _ZONE.search(text) if "T" in text or text[-1:] in "zZ" or "+" in text else None
    bare, _, fraction = (text[: zone.start()] if zone else text).partition(".")
    if fraction and not fraction.isdigit():
        bare = ""
    for layout in _LAYOUTS:
        try:
            seconds = calendar.timegm(time.strptime(bare, layout))
        except ValueError:
            continue
        return (seconds - _offset(zone[0] if zone else "Z")) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
    raise Invalid(f'failed to parse value as time or duration: "{text}"')


def _offset(zone: str) -> int:
    """Seconds east of UTC."""
    if zone in "zZ":
        return 0
    hours, minutes = zone[1:].split(":")
    return (int(hours) * 3600 + int(minutes) * 60) * (-1 if zone[0] == "-" else 1)


def timestamp(time_ns: int) -> str:
    """RFC 3339 in UTC with nanoseconds, as Docker writes it; Go's zero time for 0."""
    if not time_ns:
        return NEVER
    return rfc3339(time_ns)
