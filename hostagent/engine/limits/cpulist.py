"""Lists of numbers and ranges, "0-2,5", as in cpuset(7)."""

from __future__ import annotations

LARGEST = 8192
"""The most CPUs that Linux is built for; a list is not expanded beyond it."""


def within(wanted: str, available: str) -> bool:
    """Whether all of `wanted` is in `available`. ValueError, in Docker's words, for what is no such list."""
    return parse(wanted) <= parse(available)


def parse(text: str) -> set[int]:
    """The numbers of a list; none for an empty text."""
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        if not _number(first) or (dash and not _number(last)):
            raise ValueError(f"invalid format: {text}")
        low, high = int(first), int(last or first)
        if high < low:
            raise ValueError(f"invalid format: {text}")
        if high > LARGEST:
            raise ValueError(f"value of out range, maximum is {LARGEST}")
        found.update(range(low, high + 1))
    return found


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit()
