"""Words of Dockerfile instructions: splitting, quotes, and variables. Source: Docker's Dockerfile reference,
"Environment replacement" and the forms of ENV and LABEL."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hostagent.errors import Invalid

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#]")
ESCAPE = "\\"


def split(text: str) -> list[str]:
    """At white space outside of quotes; quotes and escapes stay in the words."""
    words: list[str] = []
    word, quote, started = "", "", False
    position = 0
    while position < len(text):
        character = text[position]
        position += 1
        if not quote and character.isspace():
            if started:
                words.append(word)
            word, started = "", False
            continue
        started = True
        if character == ESCAPE and quote != "'" and position < len(text):
            word += character + text[position]
            position += 1
            continue
        if character in "'\"" and quote in ("", character):
            quote = "" if quote else character
        word += character
    if started:
        words.append(word)
    return words


def expand(word: str, variables: Mapping[str, str]) -> str:
    """Without its quotes and escapes, its variables replaced. Raises Invalid for a substitution that is none."""
    result, quote = "", ""
    position = 0
    while position < len(word):
        character = word[position]
        position += 1
        if quote == "'":
            quote = "" if character == "'" else quote
            result += "" if character == "'" else character
        elif character in "'\"" and quote in ("", character):
            quote = "" if quote else character
        elif character == ESCAPE:
            following = word[position : position + 1]
            position += 1
            # Inside double quotes a backslash is special before a few characters only.
            keep = quote == '"' and following not in ('"', "$", ESCAPE)
            result += (ESCAPE if keep else "") + following
        elif character == "$":
            value, position = _variable(word, position, variables)
            result += value
        else:
            result += character
    if quote:
        which = "single" if quote == "'" else "double"
        raise Invalid(f"unexpected end of statement while looking for matching {which}-quote: {word}")
    return result


def _variable(word: str, position: int, variables: Mapping[str, str]) -> tuple[str, int]:
    """The value of what follows a dollar sign at `position`, and where it ends."""
    if word[position : position + 1] != "{":
        match = _NAME.match(word, position)
        return (variables.get(match[0], ""), match.end()) if match else ("$", position)
    match = _NAME.match(word, position + 1)
    if match is None:
        raise Invalid(f"syntax error: bad substitution in {word}: write ${{NAME}}")
    end = _closing(word, match.end())
    modifier = word[match.end() : end]
    value = variables.get(match[0])
    if not modifier:
        return value or "", end + 1
    kind, other = modifier[:2], modifier[2:]
    if kind not in (":-", ":+"):
        kind, other = modifier[:1], modifier[1:]
    empty = not value if kind.startswith(":") else value is None
    if kind in (":-", "-"):
        return (expand(other, variables) if empty else value or ""), end + 1
    if kind in (":+", "+"):
        return ("" if empty else expand(other, variables)), end + 1
    raise Invalid(f"unsupported modifier ({modifier[:1]}) in substitution: use :- or :+")


def _closing(word: str, position: int) -> int:
    depth = 1
    for index in range(position, len(word)):
        depth += {"{": 1, "}": -1}.get(word[index], 0)
        if not depth:
            return index
    raise Invalid(f"syntax error: missing '}}' in {word}")
