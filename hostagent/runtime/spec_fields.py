"""Typed access to one JSON object of a config.json: wrong types become errors that name the field."""

from __future__ import annotations

from hostagent.errors import Invalid


class Fields:
    """A JSON object with its place in the document; null and absent are the same (Go writes both)."""

    def __init__(self, value: object, place: str) -> None:
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise Invalid(f"config.json: {place or 'document'} must be an object")
        self._value: dict[str, object] = value
        self._place = place

    def name(self, key: str) -> str:
        return ".".join(part for part in (self._place, key) if part)

    def has(self, key: str) -> bool:
        """Whether there is something other than null or an empty value."""
        return self._value.get(key) not in (None, "", [], {})

    def string(self, key: str) -> str | None:
        value = self._value.get(key)
        if value is None or (isinstance(value, str) and "\0" not in value):
            return value
        raise Invalid(f"config.json: {self.name(key)} must be a string")

    def number(self, key: str) -> int | None:
        value = self._value.get(key)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise Invalid(f"config.json: {self.name(key)} must be a whole number")

    def boolean(self, key: str) -> bool:
        value = self._value.get(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise Invalid(f"config.json: {self.name(key)} must be true or false")

    def strings(self, key: str) -> tuple[str, ...]:
        return tuple(self._string_in(key, item) for item in self._list(key))

    def numbers(self, key: str) -> tuple[int, ...]:
        items = self._list(key)
        if not all(isinstance(item, int) for item in items):
            raise Invalid(f"config.json: {self.name(key)} must hold whole numbers")
        return tuple(item for item in items if isinstance(item, int))

    def mapping(self, key: str) -> dict[str, object]:
        return Fields(self._value.get(key), self.name(key))._value

    def child(self, key: str) -> Fields:
        return Fields(self._value.get(key), self.name(key))

    def children(self, key: str) -> tuple[Fields, ...]:
        return tuple(Fields(item, f"{self.name(key)}[{i}]") for i, item in enumerate(self._list(key)))

    def _list(self, key: str) -> list[object]:
        value = self._value.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise Invalid(f"config.json: {self.name(key)} must be a list")
        return value

    def _string_in(self, key: str, item: object) -> str:
        if not isinstance(item, str) or "\0" in item:
            raise Invalid(f"config.json: {self.name(key)} must hold strings")
        return item
