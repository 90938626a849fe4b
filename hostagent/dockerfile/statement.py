"""One logical line of a Dockerfile as a statement: keyword, flags, and arguments in the form that its keyword has.

Source: the Dockerfile reference ("Format", "Shell and exec form"). Variables are not resolved here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from hostagent.dockerfile.words import Dialect, expand
from hostagent.errors import Invalid

Form = Literal["words", "exec", "shell", "pairs", "nested", "unknown"]
"""words: separated by blanks; exec: a JSON array; shell: one text; pairs: name=value; nested: ONBUILD's statement."""

BLANKS = re.compile(r"[\t\v\f\r ]+")
_HEREDOC = re.compile(r"(\d*)<<(-?)\s*([^<]*)")
_HEREDOC_KEYWORDS = frozenset({"add", "copy", "run"})


@dataclass(frozen=True)
class Heredoc:
    """A text that follows a statement; `name` ends it. `chomp`: tabs before its lines and its end are taken away."""

    name: str
    descriptor: int
    expand: bool
    chomp: bool
    content: str = ""


@dataclass(frozen=True)
class Pair:
    """A name and its value as written; `equals` is False in the old form `ENV name the rest`."""

    name: str
    value: str
    equals: bool = True


@dataclass(frozen=True)
class Statement:
    """`first` and `last` are line numbers from 1, heredocs included; `text` is the logical line."""

    keyword: str
    flags: tuple[str, ...]
    form: Form
    arguments: tuple[str, ...] = ()
    pairs: tuple[Pair, ...] = ()
    nested: Statement | None = None
    heredocs: tuple[Heredoc, ...] = ()
    text: str = ""
    first: int = 0
    last: int = 0
    comment: tuple[str, ...] = ()
    """The lines of the comment right above it."""


def parse(text: str, escape: str) -> Statement:
    """A logical line. Invalid for arrays that hold more than strings, and pairs without "="."""
    keyword, _, rest = _halves(text.strip())
    flags, arguments = _flags(rest, escape)
    parser = _PARSERS.get(keyword.lower(), _unknown)
    return replace(parser(arguments.strip(), escape), keyword=keyword, flags=flags, text=text)


def heredoc_marks(statement: Statement) -> tuple[Heredoc, ...]:
    """The heredocs that its line announces, in order; their content follows the line."""
    inner = statement.nested or statement
    if inner.keyword.lower() not in _HEREDOC_KEYWORDS or inner.form == "exec" or "<<" not in statement.text:
        return ()
    as_written = Dialect(keep_quotes=True, keep_escapes=True, keep_unset=True)
    try:
        words = expand(statement.text, {}, as_written).words
    except Invalid:
        return ()  # a shell's own quoting, which is for the shell to refuse
    return tuple(found for word in words if (found := heredoc_mark(word)) is not None)


def heredoc_mark(word: str) -> Heredoc | None:
    """`<<EOF`, `<<-EOF`, `3<<"EOF"`; in quotes, its text is not expanded."""
    match = _HEREDOC.fullmatch(word)
    if match is None or not match[3]:
        return None
    names = expand(match[3], {}, Dialect(keep_unset=True)).words
    if len(names) != 1:
        return None
    as_written = expand(match[3], {}, Dialect(keep_unset=True, keep_quotes=True)).text
    return Heredoc(
        name=names[0],
        descriptor=int(match[1] or 0),
        expand=_quotes(as_written) == _quotes(names[0]),
        chomp=match[2] == "-",
    )


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')


def _halves(text: str) -> tuple[str, str, str]:
    match = BLANKS.search(text)
    return (text[: match.start()], match[0], text[match.end() :]) if match else (text, "", "")


# -- flags: words that begin with --, before the arguments


def _flags(text: str, escape: str) -> tuple[tuple[str, ...], str]:
    """(the flags, what follows them); `--` alone ends them."""
    flags: list[str] = []
    at = 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if not text.startswith("--", at):
            return tuple(flags), text[at:]
        flag, at = _flag(text, at, escape)
        if flag == "--":
            return tuple(flags), text[at:]
        flags.append(flag)


def _flag(text: str, at: int, escape: str) -> tuple[str, int]:
    """(one flag without its quotes and escapes, where it ends)."""
    out: list[str] = []
    quote = ""
    while at < len(text):
        character = text[at]
        at += 1
        if character == escape:
            out.append(text[at : at + 1])
            at += 1
        elif quote:
            if character == quote:
                quote = ""
            else:
                out.append(character)
        elif character in "'\"":
            quote = character
        elif character.isspace():
            at -= 1
            break
        else:
            out.append(character)
    return "".join(out), at


# -- arguments, by keyword


def _words(text: str, escape: str) -> Statement:
    return _statement("words", *(BLANKS.split(text) if text else ()))


def _text(text: str, escape: str) -> Statement:
    return _statement("shell", *((text,) if text else ()))


def _exec_or_text(text: str, escape: str) -> Statement:
    array = _array(text)
    return _text(text, escape) if array is None else _statement("exec", *array)


def _exec_or_words(text: str, escape: str) -> Statement:
    array = _array(text)
    return _words(text, escape) if array is None else _statement("exec", *array)


def _array(text: str) -> list[str] | None:
    """The strings of a JSON array; None when it is none: then it is a text. Invalid for other items."""
    if not text.startswith("["):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if not all(isinstance(item, str) for item in found):
        raise Invalid("when using JSON array syntax, arrays must be comprised of strings only")
    return list(found)


def _names(text: str, escape: str) -> Statement:
    return _statement("words", *split_quoted(text, escape))


def _health(text: str, escape: str) -> Statement:
    kind, _, rest = _halves(text)
    inner = _exec_or_text(rest.strip(), escape)
    return replace(inner, arguments=(kind, *inner.arguments)) if kind else inner


def _pairs(keyword: str) -> Callable[[str, str], Statement]:
    def parser(text: str, escape: str) -> Statement:
        words = split_quoted(text, escape)
        if not words:
            return Statement("", (), "pairs")
        if "=" not in words[0]:
            name, blank, value = _halves(text)
            if not blank:
                raise Invalid(f"{keyword} must have two arguments")
            return Statement("", (), "pairs", pairs=(Pair(name, value, equals=False),))
        for word in words:
            if "=" not in word:
                raise Invalid(f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value')
        halves = (word.partition("=") for word in words)
        return Statement("", (), "pairs", pairs=tuple(Pair(name, value) for name, _, value in halves))

    return parser


def _nested(text: str, escape: str) -> Statement:
    return Statement("", (), "nested", nested=parse(text, escape) if text else None)


def _unknown(text: str, escape: str) -> Statement:
    return _statement("unknown", *((text,) if text else ()))


def _statement(form: Form, *arguments: str) -> Statement:
    return Statement("", (), form, arguments)


def split_quoted(text: str, escape: str) -> list[str]:
    """Words at blanks outside of quotes; quotes and escapes stay in them."""
    words: list[str] = []
    word: list[str] = []
    quote = ""
    characters = iter(text)
    for character in characters:
        if character == escape and quote != "'":
            following = next(characters, "")
            word += [character, following] if following else []
        elif quote:
            word.append(character)
            quote = "" if character == quote else quote
        elif character.isspace():
            words += ["".join(word)] if word else []
            word = []
        else:
            word.append(character)
            quote = character if character in "'\"" else ""
    return [*words, "".join(word)] if word else words


_PARSERS: dict[str, Callable[[str, str], Statement]] = {
    "add": _exec_or_words,
    "arg": _names,
    "cmd": _exec_or_text,
    "copy": _exec_or_words,
    "entrypoint": _exec_or_text,
    "env": _pairs("ENV"),
    "expose": _words,
    "from": _words,
    "healthcheck": _health,
    "label": _pairs("LABEL"),
    "maintainer": _text,
    "onbuild": _nested,
    "run": _exec_or_text,
    "shell": _exec_or_text,
    "stopsignal": _text,
    "user": _text,
    "volume": _exec_or_words,
    "workdir": _text,
}
