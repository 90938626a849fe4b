"""The word that somebody may have meant, for messages about one that is not known."""

from __future__ import annotations

from collections.abc import Iterable

_NEAR = 3
"""Fewer changes of a character than these make it a guess worth telling."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The nearest of `known`, "" when none is near."""
    found, best = "", _NEAR
    for each in sorted(known):
        distance = _distance(word, each)
        if distance < best:
            found, best = each, distance
    return found


def _distance(one: str, other: str) -> int:
    """Levenshtein's: how many characters are put in, taken out or changed."""
    row = list(range(len(other) + 1))
    for number, character in enumerate(one, 1):
        before, row[0] = row[0], number
        for at, opposite in enumerate(other, 1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (character != opposite))
    return row[-1]
