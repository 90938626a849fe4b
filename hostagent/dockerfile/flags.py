"""Flags of a Dockerfile instruction: `--chown=1:1`, `--link`, `--mount=… --mount=…`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hostagent.dockerfile.suggest import nearest
from hostagent.errors import Invalid

Kind = Literal["text", "bool", "texts"]
_TRUTH = {"true": True, "": True, "false": False}


class Flags:
    """What was given, by name; a flag that was not given is "", False, None (`maybe`) or ()."""

    def __init__(self, given: tuple[str, ...], known: Mapping[str, Kind]) -> None:
        """Invalid for a flag that is not known, given twice, or has no value."""
        self._texts: dict[str, list[str]] = {}
        self._bools: dict[str, bool] = {}
        for word in given:
            flag, equals, value = word.partition("=")
            name = flag.removeprefix("--")
            kind = known.get(name)
            if kind is None:
                raise Invalid(f"unknown flag: {flag}{_hint(name, known)}")
            if kind != "texts" and (name in self._texts or name in self._bools):
                raise Invalid(f"duplicate flag specified: {flag}")
            if (kind != "bool" and not equals) or (kind == "bool" and equals and not value):
                raise Invalid(f"missing a value on flag: {flag}")
            if kind != "bool":
                self._texts.setdefault(name, []).append(value)
            elif value.lower() in _TRUTH:
                self._bools[name] = _TRUTH[value.lower()]
            else:
                raise Invalid(f"expecting boolean value for flag {flag}, not: {value}")

    def text(self, name: str) -> str:
        return self._texts.get(name, [""])[0]

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(self._texts.get(name, ()))

    def on(self, name: str) -> bool:
        return self._bools.get(name, False)

    def maybe(self, name: str) -> bool | None:
        return self._bools.get(name)


def _hint(name: str, known: Mapping[str, Kind]) -> str:
    close = nearest(name, known)
    return f" (did you mean --{close}?)" if close else ""
