"""Labels as filters name them."""

from __future__ import annotations

from collections.abc import Mapping


def label_matches(labels: Mapping[str, str], wanted: str) -> bool:
    """`key` or `key=value`."""
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)
