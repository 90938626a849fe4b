"""Quotes, escapes and variables in a Dockerfile's words, as a POSIX shell has them.

Source: the Dockerfile reference ("Environment replacement", "ARG") and the shell command language of POSIX
(2.2 Quoting, 2.6.2 Parameter Expansion). Beyond POSIX: `${name/pattern/text}` and `${name//pattern/text}`. Patterns
have `*`, `?` and `\\`, and no bracket expressions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hostagent.errors import Invalid

_SPECIAL = frozenset("@*#?-$!0")
"""One-character parameters: known as names, never set in a build."""
_MODIFIERS = frozenset("+-?#%")


@dataclass(frozen=True)
class Dialect:
    """How words are read. All off: everything is resolved, as an instruction's arguments are."""

    escape: str = "\\"
    keep_quotes: bool = False
    """Quotes stay in the result (and still protect)."""
    keep_escapes: bool = False
    """The escape character stays in the result."""
    keep_unset: bool = False
    """A reference to an unset variable stays as it is written."""
    plain_quotes: bool = False
    """Quotes are characters like others, as in the text of a heredoc."""


@dataclass
class Expanded:
    """A text after expansion; `used` and `unset` are the names that it asked for."""

    pieces: list[tuple[str, bool]] = field(default_factory=list)
    """(text, whether blanks in it separate words)."""
    used: set[str] = field(default_factory=set)
    unset: set[str] = field(default_factory=set)

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.pieces)

    @property
    def words(self) -> list[str]:
        """Split at blanks that were neither quoted nor escaped, also those that a variable brought. None is empty."""
        found: list[str] = []
        word = ""
        for text, splits in self.pieces:
            if not splits:
                word += text
                continue
            for character in text:
                if not character.isspace():
                    word += character
                elif word:
                    found.append(word)
                    word = ""
        return [*found, word] if word else found


def expand(text: str, environment: Mapping[str, str], dialect: Dialect | None = None) -> Expanded:
    """Resolve `text`. Invalid, with the text, for quotes and braces without an end and for `${name?}` unset."""
    out = Expanded()
    try:
        _Reader(text, environment, dialect or Dialect(), out).read()
    except _Wrong as error:
        raise Invalid(f'failed to process "{text}": {error}') from None
    return out


class _Wrong(Exception):
    """What is wrong, without the text in which it is."""


class _Reader:
    """A position in a text; each method reads one construct from there on."""

    def __init__(self, text: str, environment: Mapping[str, str], dialect: Dialect, out: Expanded) -> None:
        self._text = text
        self._at = 0
        self._environment = environment
        self._dialect = dialect
        self._out = out

    def read(self) -> None:
        self._out.pieces = self._until("", self._dialect.keep_escapes)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        character = self._peek()
        self._at += 1
        return character

    def _until(self, stop: str, keep_escapes: bool) -> list[tuple[str, bool]]:
        """Pieces up to `stop`, which is read too; "" is the end of the text."""
        pieces: list[tuple[str, bool]] = []
        while character := self._peek():
            if character == stop:
                self._at += 1
                return pieces
            if character == "$":
                pieces.append((self._dollar(), True))
            elif character == "'" and not self._dialect.plain_quotes:
                pieces.append((self._single_quoted(), False))
            elif character == '"' and not self._dialect.plain_quotes:
                pieces.append((self._double_quoted(keep_escapes), False))
            elif character == "<":
                pieces.append((self._heredoc_mark(), False))
            elif character == self._dialect.escape:
                pieces.append((self._escaped(keep_escapes), False))
            else:
                pieces.append((self._next(), True))
        if stop:
            raise _Wrong(f"missing '{stop}' in ${{}}" if stop == "/" else f"syntax error: missing '{stop}'")
        return pieces

    def _escaped(self, keep: bool) -> str:
        mark = self._next()
        return (mark if keep else "") + self._next()

    def _heredoc_mark(self) -> str:
        """`<<` holds together with the blanks after it, so that `<< EOF` is one word."""
        found = re.compile(r"<<[ \t\r]*|<").match(self._text, self._at)
        assert found is not None
        self._at = found.end()
        return found[0]

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise _Wrong("unexpected end of statement while looking for matching single-quote")
        inner = self._text[self._at + 1 : end]
        self._at = end + 1
        return f"'{inner}'" if self._dialect.keep_quotes else inner

    def _double_quoted(self, keep_escapes: bool) -> str:
        escape = self._dialect.escape
        quote = self._next() if self._dialect.keep_quotes else self._next()[1:]
        out = [quote]
        while character := self._peek():
            if character == '"':
                self._at += 1
                return "".join([*out, quote])
            if character == "$":
                out.append(self._dollar())
                continue
            self._at += 1
            if character == escape:
                if not self._peek():
                    break
                if self._peek() in ('"', "$", escape):
                    character = (character if keep_escapes else "") + self._next()
            out.append(character)
        raise _Wrong("unexpected end of statement while looking for matching double-quote")

    def _dollar(self) -> str:
        self._at += 1
        if self._peek() != "{":
            name = self._name()
            if not name:
                return "$"
            return f"${name}" if self._keeps(name) else self._value(name)[0]
        self._at += 1
        if not self._peek():
            raise _Wrong("syntax error: missing '}'")
        if self._peek() in "{}:":
            raise _Wrong("syntax error: bad substitution")
        return self._braced(self._name())

    def _name(self) -> str:
        rest = self._text[self._at :]
        found = re.match(r"\d+|\w+", rest)
        name = found[0] if found else rest[:1] if rest[:1] in _SPECIAL else ""
        self._at += len(name)
        return name

    def _braced(self, name: str) -> str:
        modifier = self._next()
        if not modifier:
            raise _Wrong("syntax error: missing '}'")
        if modifier == "}":
            return f"${{{name}}}" if self._keeps(name) else self._value(name)[0]
        if modifier == "/":
            return self._replaced(name)
        also_empty = modifier == ":"
        mark = self._next() if also_empty else modifier
        if not mark or mark not in _MODIFIERS or (also_empty and mark in "#%"):
            raise _Wrong(f"unsupported modifier ({modifier}{mark if also_empty else ''}) in substitution")
        word = _joined(self._until("}", keep_escapes=mark in "#%"))
        if self._keeps(name):
            return f"${{{name}{':' if also_empty else ''}{mark}{word}}}"
        value, is_set = self._value(name)
        if mark in "#%":
            return _trimmed(value, mark, word)
        lacking = not is_set or (also_empty and not value)
        if mark == "-":
            return word if lacking else value
        if mark == "+":
            return "" if lacking else word
        if lacking:
            raise _Wrong(f"{name}: {word or 'is not allowed to be ' + ('empty' if is_set else 'unset')}")
        return value

    def _replaced(self, name: str) -> str:
        everywhere = self._peek() == "/"
        self._at += everywhere
        pattern = _joined(self._until("/", keep_escapes=True))
        text = _joined(self._until("}", keep_escapes=True))
        if self._keeps(name):
            return f"${{{name}/{'/' if everywhere else ''}{pattern}/{text}}}"
        value, _ = self._value(name)
        return _regex(pattern, longest=True).sub(lambda _: text, value, count=0 if everywhere else 1)

    def _keeps(self, name: str) -> bool:
        """Whether a reference to it stays as it is."""
        return self._dialect.keep_unset and not self._value(name)[1]

    def _value(self, name: str) -> tuple[str, bool]:
        """(value, whether it is set)."""
        if name in self._environment:
            self._out.used.add(name)
            return self._environment[name], True
        self._out.unset.add(name)
        return "", False


def _joined(pieces: list[tuple[str, bool]]) -> str:
    return "".join(text for text, _ in pieces)


def _trimmed(value: str, mark: str, word: str) -> str:
    """`#` shortest and `##` longest at the beginning, `%` and `%%` at the end."""
    longest = word.startswith(mark)
    pattern = _regex(word.removeprefix(mark), longest)
    if mark == "#":
        found = pattern.match(value)
        return value[found.end() :] if found else value
    starts = range(len(value) + 1) if longest else range(len(value), -1, -1)
    start = next((at for at in starts if pattern.fullmatch(value, at)), None)
    return value if start is None else value[:start]


def _regex(pattern: str, longest: bool) -> re.Pattern[str]:
    out: list[str] = []
    characters = iter(pattern)
    for character in characters:
        match character:
            case "*":
                out.append(".*" if longest else ".*?")
            case "?":
                out.append(".")
            case "\\":
                escaped = next(characters, "")
                # Of these two the backslash was for the braces, not for the pattern.
                if escaped not in ("*", "?", "\\", "}", "/"):
                    raise _Wrong(f"invalid pattern ({pattern}) in substitution: invalid escape '\\{escaped}'")
                out.append(re.escape(escaped))
            case _:
                out.append(re.escape(character))
    return re.compile("".join(out))
