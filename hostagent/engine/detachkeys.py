"""Docker's notation for the keys that end an attachment: `ctrl-p,ctrl-q`, `a,ctrl-[`."""

from __future__ import annotations

from hostagent.errors import Invalid

DEFAULT = b"\x10\x11"
"""ctrl-p ctrl-q"""


def parse(text: str, what: str = "detach") -> bytes:
    """The bytes that a terminal sends for them; the default for "". Raises Invalid, calling them `what` keys."""
    if not text:
        return DEFAULT
    keys = bytearray()
    for part in text.split(","):
        if len(part) == 1:
            keys += part.encode()
            continue
        prefix, _, key = part.partition("-")
        if prefix != "ctrl" or len(key) != 1 or not (key.isascii() and (key.isalpha() or key in "@[\\]^_")):
            raise Invalid(f"Invalid {what} keys ({text}) provided")
        keys.append(ord(key.upper()) & 0x1F)
    return bytes(keys)
