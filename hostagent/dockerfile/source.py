"""A Dockerfile's bytes as statements: directives, comments, continuation lines, heredocs.

Source: the Dockerfile reference ("Parser directives", "Escape", "Here-Documents").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from hostagent.dockerfile.statement import Heredoc, Statement, heredoc_marks, parse
from hostagent.errors import Invalid

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_DIRECTIVES = frozenset({"syntax", "escape", "check"})
_BOM = "\ufeff"


@dataclass(frozen=True)
class Source:
    """A whole file."""

    statements: tuple[Statement, ...]
    escape: str
    directives: dict[str, str]
    warnings: tuple[str, ...]


def read(data: bytes) -> Source:
    """Invalid, with the line, for what is no Dockerfile; also for one without instructions."""
    return _Scanner(data.decode(errors="replace").removeprefix(_BOM)).read()


@dataclass
class _Scanner:
    """Reads line by line; `number` is that of the line read last."""

    text: str
    number: int = 0
    escape: str = "\\"
    directives: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        pieces = self.text.split("\n")
        whole = [piece + "\n" for piece in pieces[:-1]]
        self._lines = iter(whole + ([pieces[-1]] if pieces[-1] else []))

    def read(self) -> Source:
        statements = tuple(self._statements())
        if not statements:
            raise self._wrong("file with no instructions")
        return Source(statements, self.escape, self.directives, tuple(self.warnings))

    def _next(self) -> str | None:
        """The next line with its end; None after the last."""
        line = next(self._lines, None)
        self.number += line is not None
        return line

    def _wrong(self, text: str, first: int | None = None) -> Invalid:
        return Invalid(f"dockerfile parse error on line {first or self.number}: {text}")

    def _statements(self) -> Iterator[Statement]:
        comment: list[str] = []
        may_direct = True
        while (raw := self._next()) is not None:
            line = raw.rstrip("\r\n").lstrip()
            if may_direct:
                may_direct = self._directive(line)
                if may_direct:
                    continue
            if line.startswith("#"):
                said = line[1:].strip()
                comment = [*comment, said] if said else []
                continue
            first = self.number
            text = self._continued(line)
            if text is None:
                continue
            yield self._statement(text, first, tuple(comment))
            comment = []

    def _directive(self, line: str) -> bool:
        match = _DIRECTIVE.fullmatch(line)
        if match is None or (name := match[1].lower()) not in _DIRECTIVES:
            return False
        if name in self.directives:
            raise self._wrong(f"only one {name} parser directive can be used")
        if name == "escape":
            if match[2] not in ("\\", "`"):
                raise self._wrong(f"invalid escape token '{match[2]}' does not match ` or \\")
            self.escape = match[2]
        self.directives[name] = match[2]
        return True

    def _continued(self, line: str) -> str | None:
        """The logical line that begins with `line`; None for an empty one."""
        line, goes_on = self._cut(line)
        if not goes_on and not line:
            return None
        parts = [line]
        gaps = False
        while goes_on and (raw := self._next()) is not None:
            following = raw.rstrip("\r\n")
            if following.lstrip().startswith("#"):
                continue
            if not following.strip():
                gaps = True
                continue
            following, goes_on = self._cut(following)
            parts.append(following)
        text = "".join(parts)
        if gaps:
            self.warnings.append(f"Empty continuation line found in: {text}")
        return text

    def _cut(self, line: str) -> tuple[str, bool]:
        """Without the escape character at its end, if there is one that is not escaped itself."""
        bare = line.rstrip(" \t")
        if bare.endswith(self.escape) and not bare[:-1].endswith(self.escape):
            return bare[:-1], True
        return line, False

    def _statement(self, text: str, first: int, comment: tuple[str, ...]) -> Statement:
        try:
            statement = parse(text, self.escape)
            marks = heredoc_marks(statement)
        except Invalid as error:
            raise self._wrong(str(error), first) from None
        heredocs = tuple(self._heredoc(mark, first) for mark in marks)
        return replace(statement, heredocs=heredocs, first=first, last=self.number, comment=comment)

    def _heredoc(self, mark: Heredoc, first: int) -> Heredoc:
        content: list[str] = []
        while (raw := self._next()) is not None:
            end = raw.rstrip("\r\n")
            if (end.lstrip("\t") if mark.chomp else end) == mark.name:
                return replace(mark, content="".join(content))
            content.append(raw)
        raise self._wrong("unterminated heredoc", first)
