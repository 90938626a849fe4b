"""Words to a person: stderr, narrow, colour only on a terminal that wants it (NO_COLOR, TERM=dumb)."""

from __future__ import annotations

import os
import sys
from typing import Final, TextIO

_CODES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


def coloured(stream: TextIO) -> bool:
    """Whether escape sequences are welcome there (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """The text in that colour, or plain where colours are not welcome."""
    if not coloured(stream or sys.stderr):
        return text
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def note(text: str) -> None:
    """A line about the work, to stderr: results alone belong on stdout."""
    print(text, file=sys.stderr, flush=True)


def print_error(text: str) -> None:
    """`error: ` and the text; further lines are aligned below the first."""
    first, *rest = text.splitlines() or [""]
    note(paint("error:", "red") + " " + first)
    for line in rest:
        note(" " * 7 + line)


def print_warning(text: str) -> None:
    note(paint("warning:", "yellow") + " " + text)


def confirm(question: str) -> bool:
    """Asks on the terminal, no is the default. The caller has made sure that there is one."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:
        sys.stderr.write("\n")
    return answer.strip().lower() in ("y", "yes")


def ask(question: str) -> bool:
    """The answer, or no when nobody is there to give one."""
    return can_ask() and confirm(question)


def can_ask() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()
