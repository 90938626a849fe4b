"""The query string with the types that Docker gives its values."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

from hostagent.errors import Invalid

_FALSE = frozenset({"", "0", "no", "false", "none"})
_TIMESTAMP = re.compile(r"([+-]?\d{1,18})(?:\.(\d{1,18}))?", re.ASCII)


class Query:
    """Read-only view of a query string; of a repeated name the first value counts."""

    def __init__(self, text: str) -> None:
        self._values = parse_qs(text, keep_blank_values=True) if text else {}

    def text(self, name: str) -> str | None:
        """The value, None when missing or empty."""
        values = self._values.get(name)
        return (values[0] or None) if values else None

    def texts(self, name: str) -> list[str]:
        """All values of a name that may be repeated."""
        return self._values.get(name, [])

    def flag(self, name: str, default: bool = False) -> bool:
        """Docker's booleans: missing = `default`; empty, 0, no, false and none are False; all else is True."""
        values = self._values.get(name)
        return values[0].strip().lower() not in _FALSE if values else default

    def number(self, name: str) -> int | None:
        """An integer, None when missing or empty. Raises Invalid."""
        value = self.text(name)
        if value is None:
            return None
        try:
            return int(value)
        except ValueError:
            raise Invalid(f"invalid value {value!r} for parameter {name}: must be an integer") from None

    def needed_number(self, name: str) -> int:
        """An integer that must be there. Raises Invalid."""
        value = self.number(name)
        if value is None:
            raise Invalid(f"parameter {name} is missing: pass an integer")
        return value

    def moment(self, name: str) -> int | None:
        """A Unix time such as `1700000000.000000001` in nanoseconds; None when missing or empty. Raises Invalid."""
        value = self.text(name)
        if value is None:
            return None
        match = _TIMESTAMP.fullmatch(value)
        if match is None:
            raise Invalid(
                f"invalid value {value!r} for parameter {name}: must be seconds[.nanoseconds] since 1970"
            )
        return int(match[1]) * 1_000_000_000 + int((match[2] or "").ljust(9, "0")[:9])

    def nanoseconds(self, name: str) -> int:
        """The same; 0 when missing."""
        return self.moment(name) or 0
