"""Filters of `docker images`: reference, dangling, label, before, since, until."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from hostagent.errors import Invalid
from hostagent.image.store import Record
from hostagent.model.image import Image
from hostagent.model.reference import Reference

Filters = Mapping[str, Sequence[str]]

KNOWN = frozenset(("reference", "dangling", "label", "before", "since", "until"))


@dataclass(frozen=True)
class Candidate:
    """What a filter looks at."""

    image: Image
    record: Record
    names: Sequence[Reference]


def matcher(filters: Filters, moment_of: Callable[[str], int]) -> Callable[[Candidate], bool]:
    """A predicate; `moment_of` gives the time (ns) at which a named image was stored. Raises Invalid."""
    if unknown := sorted(set(filters) - KNOWN):
        raise Invalid(f"invalid filter '{unknown[0]}': images can be filtered by {', '.join(sorted(KNOWN))}")
    tests: list[Callable[[Candidate], bool]] = []
    if patterns := filters.get("reference"):
        tests.append(lambda c: any(_matches(name, pattern) for name in c.names for pattern in patterns))
    if dangling := filters.get("dangling"):
        wanted = _flag(dangling[0])
        tests.append(lambda c: wanted == (not any(name.digest is None for name in c.names)))
    for label in filters.get("label", ()):
        tests.append(_label(label))
    for name in filters.get("before", ()):
        tests.append(_stored(moment_of(name), before=True))
    for name in filters.get("since", ()):
        tests.append(_stored(moment_of(name), before=False))
    for text in filters.get("until", ()):
        tests.append(_stored(_moment(text), before=True))
    return lambda candidate: all(test(candidate) for test in tests)


def _matches(name: Reference, pattern: str) -> bool:
    """A glob over the familiar name, with or without its tag; a * stops at a slash."""
    for text in (name.familiar, name.familiar_repository):
        parts, globs = text.split("/"), pattern.split("/")
        if len(parts) == len(globs) and all(fnmatchcase(p, g) for p, g in zip(parts, globs, strict=True)):
            return True
    return False


def _flag(text: str) -> bool:
    if text.lower() in ("1", "true", "t"):
        return True
    if text.lower() in ("0", "false", "f"):
        return False
    raise Invalid(f"invalid filter 'dangling={text}': write true or false")


def _label(text: str) -> Callable[[Candidate], bool]:
    key, equals, value = text.partition("=")
    return lambda c: key in c.image.config.labels and (not equals or c.image.config.labels[key] == value)


def _stored(moment: int, *, before: bool) -> Callable[[Candidate], bool]:
    if before:
        return lambda c: c.record.stored_ns < moment
    return lambda c: c.record.stored_ns > moment


def _moment(text: str) -> int:
    """`until` as Unix seconds, RFC 3339 or an age in Go's form (10m, 1h30m); nanoseconds."""
    import re
    from datetime import datetime

    units = {"s": 1, "m": 60, "h": 3600}
    if re.fullmatch(r"(\d+[smh])+", text):
        age = sum(int(count) * units[unit] for count, unit in re.findall(r"(\d+)([smh])", text))
        return time.time_ns() - age * 1_000_000_000
    try:
        return int(float(text) * 1e9)
    except ValueError:
        pass
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1e9)
    except ValueError:
        raise Invalid(f"invalid filter 'until={text}': write a time or an age, as 24h") from None
