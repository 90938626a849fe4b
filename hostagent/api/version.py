"""API versions: `/v1.41/…` in a path, and the range that this engine serves."""

from __future__ import annotations

import re

from hostagent.errors import Invalid

Version = tuple[int, int]

OLDEST: Version = (1, 24)
NEWEST: Version = (1, 47)

_PREFIX = re.compile(r"v(\d{1,4})(?:\.(\d{1,4}))?", re.ASCII)


def text(version: Version) -> str:
    """`1.47`."""
    return f"{version[0]}.{version[1]}"


def from_segment(segment: str) -> Version | None:
    """The version in a path's first segment, or None if it is something else."""
    match = _PREFIX.fullmatch(segment)
    return (int(match[1]), int(match[2] or 0)) if match else None


def check(version: Version) -> None:
    """Raises Invalid, in the words that Docker's clients know, outside of the served range."""
    if version > NEWEST:
        raise Invalid(
            f"client version {text(version)} is too new. Maximum supported API version is {text(NEWEST)}"
        )
    if version < OLDEST:
        raise Invalid(
            f"client version {text(version)} is too old. Minimum supported API version is {text(OLDEST)}, "
            "please upgrade your client to a newer version"
        )
