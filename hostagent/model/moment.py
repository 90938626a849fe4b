"""Moments as Docker writes and reads them: RFC 3339, and the forms that its filters take."""

from __future__ import annotations

import calendar
import re
import time

from hostagent.errors import Invalid
from hostagent.model.duration import parse_duration


def rfc3339(time_ns: int) -> str:
    """Nanoseconds since 1970 in UTC, the fraction without its trailing zeros (Go's RFC3339Nano)."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + fraction + "Z"


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


_CREATED = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)")


def created_ns(text: str) -> int | None:
    """An image's date (RFC 3339, any zone) in nanoseconds since 1970, None when absent or malformed."""
    match = _CREATED.fullmatch(text)
    if match is None:
        return None
    try:
        seconds = calendar.timegm(time.strptime(match[1].upper(), "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None
    return (seconds - _offset(match[3])) * 1_000_000_000 + int((match[2] or "")[:9].ljust(9, "0"))
