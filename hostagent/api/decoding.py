"""JSON bodies to wire types, with Docker's words for what is wrong."""

from __future__ import annotations

from typing import TypeVar

from hostagent.errors import Invalid
from hostagent.wire.reading import read

T = TypeVar("T")


def decode(raw: bytes, kind: type[T]) -> T:
    """A body as `kind`. Raises Invalid naming the field that does not fit."""
    if not raw.strip():
        raise Invalid("invalid JSON: got EOF while reading request body")
    try:
        return read(raw, kind)
    except ValueError as error:
        raise Invalid(f"invalid JSON: {error}") from None
