"""Patterns of paths: `.dockerignore`, `--exclude`, and the wildcards of COPY.

Source: the Dockerfile reference (".dockerignore file", "COPY"); Go's path/filepath.Match, which both are built on.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from hostagent.errors import Invalid

_WILD = frozenset("*?[\\")


class BadPattern(Invalid):
    """A pattern that cannot be read."""


def has_wildcards(path: str) -> bool:
    """Whether a source of COPY is a pattern."""
    return any(character in _WILD for character in path)


@lru_cache(maxsize=256)
def component(pattern: str) -> re.Pattern[str]:
    """One component of a path, as filepath.Match has it. BadPattern for a set without an end."""
    return re.compile(_translated(pattern, deep=False))


def ignore_lines(text: str) -> list[str]:
    """The patterns of a .dockerignore: comments and blank lines away, cleaned, a leading slash meaning nothing."""
    found: list[str] = []
    for line in text.removeprefix("\ufeff").splitlines():
        if line.startswith("#") or not (pattern := line.strip()):
            continue
        negated = pattern.startswith("!")
        pattern = pattern[1:].strip() if negated else pattern
        if pattern:
            pattern = posixpath.normpath(pattern)
            pattern = pattern.lstrip("/") if len(pattern) > 1 else pattern
        found.append(f"!{pattern}" if negated else pattern)
    return found


class PathMatcher:
    """Patterns in order: the last one that fits a path, or a directory above it, decides; `!` takes it back."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._rules: list[tuple[bool, re.Pattern[str]]] = []
        for pattern in patterns:
            negated = pattern.startswith("!")
            bare = pattern[1:] if negated else pattern
            if negated and not bare:
                raise BadPattern('illegal exclusion pattern: "!"')
            bare = posixpath.normpath(bare) if bare else bare
            if bare not in ("", "."):
                self._rules.append((negated, re.compile(_translated(bare.lstrip("/"), deep=True))))
        self._any = re.compile("|".join(f"(?:{rule.pattern})" for _, rule in self._rules) or "(?!)")
        self.any_negated = any(negated for negated, _ in self._rules)
        """Then a directory that is excluded may still hold paths that are not."""

    def excludes(self, path: str) -> bool:
        """`path` is relative, with / between its components."""
        names = path.split("/")
        found = 0
        for count in range(1, len(names) + 1):
            found = self.fitting("/".join(names[:count]), found)
        return self.decided(found)

    def fitting(self, path: str, above: int = 0) -> int:
        """A bit for each pattern that fits `path` or, as `above` says, its directory: for whoever walks a tree."""
        # One look for all patterns: most paths fit none.
        if self._any.fullmatch(path):
            for number, (_, rule) in enumerate(self._rules):
                if rule.fullmatch(path):
                    above |= 1 << number
        return above

    def decided(self, fitting: int) -> bool:
        """Whether these patterns, the last one deciding, exclude."""
        return bool(fitting) and not self._rules[fitting.bit_length() - 1][0]


def select_names(names: Sequence[str], pattern: str) -> list[str]:
    """Those names of a directory that one component of a pattern fits, sorted."""
    rule = component(pattern)
    return sorted(name for name in names if rule.fullmatch(name))


def _translated(pattern: str, *, deep: bool) -> str:
    """`*` and `?` stop at a slash; with `deep`, `**` is any number of components."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*" and deep and pattern.startswith("*", at):
            at += 1
            if pattern.startswith("/", at):
                at += 1
                out.append("(?:.*/)?")
            else:
                out.append(".*")
        elif character == "*":
            out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif character == "[":
            end = _set_end(pattern, at)
            inner = pattern[at:end].replace("\\", "\\\\") if "\\" not in pattern[at:end] else pattern[at:end]
            out.append(f"[{inner.replace('[', chr(92) + '[')}]")
            at = end + 1
        elif character == "\\":
            if at >= len(pattern):
                raise BadPattern(f"syntax error in pattern: {pattern}")
            out.append(re.escape(pattern[at]))
            at += 1
        else:
            out.append(re.escape(character))
    return "".join(out)


def _set_end(pattern: str, at: int) -> int:
    """Where the `]` of a set is whose content begins at `at`."""
    end = at + 1 if pattern.startswith("^", at) else at
    while end < len(pattern) and (pattern[end] != "]" or end == at):
        end += 2 if pattern[end] == "\\" else 1
    if end >= len(pattern) or end == at:
        raise BadPattern(f"syntax error in pattern: {pattern}")
    return end
