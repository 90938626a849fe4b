"""The user's terminal while a program far away has it: raw mode, its size, the keys that detach."""

from __future__ import annotations

import contextlib
import os
import termios
import tty
from collections.abc import Iterator
from typing import Final

from machine.errors import Usage

DEFAULT_DETACH_KEYS: Final = "ctrl-p,ctrl-q"
_CONTROL: Final = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def parse_detach_keys(text: str) -> bytes:
    """`ctrl-p,ctrl-q`, `ctrl-a,d` as the bytes that a terminal sends; an empty text: nothing detaches."""
    found = bytearray()
    for key in text.split(",") if text else ():
        name = key.lower()
        if len(key) == 1 and ord(key) < 128:
            found.append(ord(key))
        elif name.startswith("ctrl-") and len(name) == 6 and (name[5].isalpha() or name[5] in _CONTROL):
            found.append(_CONTROL[name[5]] if name[5] in _CONTROL else ord(name[5]) - ord("a") + 1)
        else:
            raise Usage(f'invalid detach keys "{text}": write for example ctrl-p,ctrl-q or ctrl-a,d')
    return bytes(found)


class DetachFilter:
    """Sans-IO: watches what is typed for the detach keys. A beginning of them is held back until it is decided."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What to pass on, and whether to detach (what was typed after the keys is dropped)."""
        if not self._keys:
            return data, False
        passed = bytearray()
        for byte in data:
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    self._matched = 0
                    return bytes(passed), True
                continue
            passed += self._keys[: self._matched]
            # The byte that broke the sequence may begin it anew.
            self._matched = 1 if byte == self._keys[0] else 0
            if not self._matched:
                passed.append(byte)
        return bytes(passed), False


def size(fd: int) -> tuple[int, int] | None:
    """(height, width) in characters, None if it is no terminal or does not know."""
    try:
        columns, lines = os.get_terminal_size(fd)
    except OSError:
        return None
    return (lines, columns) if lines and columns else None


@contextlib.contextmanager
def raw(fd: int) -> Iterator[None]:
    """Every key goes to the far program, Ctrl-C included; the old state comes back whatever happens inside."""
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
