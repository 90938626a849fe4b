"""Sizes and other values as Go's libraries read them, with their complaints. Pure."""

from __future__ import annotations

import re

_DECIMAL = {letter: 1000**power for power, letter in enumerate("kmgtp", 1)}
_BINARY = {letter: 1024**power for power, letter in enumerate("kmgtp", 1)}
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)")


def from_human_size(text: str) -> int:
    """Bytes; k, m, g ... are powers of 1000. ValueError in the words of docker/go-units."""
    return _size(text, _DECIMAL)


def ram_in_bytes(text: str) -> int:
    """Bytes; k, m, g ... are powers of 1024. ValueError in the words of docker/go-units."""
    return _size(text, _BINARY)


def _size(text: str, factors: dict[str, int]) -> int:
    last = max((index for index, letter in enumerate(text) if letter in "0123456789. "), default=-1)
    if last < 0:
        raise ValueError(f"invalid size: '{text}'")
    number = text[:last] if text[last] == " " else text[: last + 1]
    suffix = text[last + 1 :].lower()
    if not _FLOAT.fullmatch(number):
        raise ValueError(f'strconv.ParseFloat: parsing "{number}": invalid syntax')
    size = float(number)
    if size < 0:
        raise ValueError(f"invalid size: '{text}'")
    if suffix in ("", "b"):
        return int(size)
    if suffix[0] not in factors or suffix[1:] not in ("", "b", "ib"):
        raise ValueError(f"invalid suffix: '{suffix}'")
    return int(size * factors[suffix[0]])


def atoi(text: str) -> int:
    """A decimal integer."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(f'strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


def parse_bool(text: str) -> bool:
    """1, t, true, 0, f, false."""
    if text not in (*_TRUE, *_FALSE):
        raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return text in _TRUE
