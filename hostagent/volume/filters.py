"""`docker volume ls --filter` and `docker volume prune --filter`, in Docker's words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hostagent.errors import Invalid
from hostagent.volume.volume import ANONYMOUS_LABEL, LOCAL, Volume

Filters = Mapping[str, Sequence[str]]

_LIST = frozenset({"dangling", "name", "driver", "label"})
_PRUNE = frozenset({"label", "label!", "all"})
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
"""Go's strconv.ParseBool."""


def select(volumes: Sequence[Volume], filters: Filters, used: frozenset[str]) -> list[Volume]:
    """Those that a list shows; `used` are the names that containers mount. Raises Invalid."""
    _known(filters, _LIST)
    dangling = _dangling(filters)
    return [
        volume
        for volume in volumes
        if (dangling is None or dangling == (volume.name not in used))
        and (not filters.get("driver") or LOCAL in filters["driver"])
        and _named(volume.name, filters.get("name", ()))
        and _labelled(volume, filters)
    ]


def prunable(volumes: Sequence[Volume], filters: Filters, used: frozenset[str]) -> list[Volume]:
    """Those that prune removes: of nobody's use, without driver options, anonymous unless all=true. Raises Invalid."""
    everything = _everything(filters)
    _known(filters, _PRUNE)
    return [
        volume
        for volume in volumes
        if volume.name not in used
        and not volume.options
        and (everything or ANONYMOUS_LABEL in (volume.labels or {}))
        and _labelled(volume, filters)
    ]


def _known(filters: Filters, accepted: frozenset[str]) -> None:
    for name in filters:
        if name not in accepted:
            raise Invalid(f"invalid filter '{name}'")


def _dangling(filters: Filters) -> bool | None:
    values = filters.get("dangling")
    if values is None:
        return None
    true, false = bool({"1", "true"} & {*values}), bool({"0", "false"} & {*values})
    if true == false:
        raise Invalid(f"invalid filter 'dangling=[{' '.join(values)}]'")
    return true


def _everything(filters: Filters) -> bool:
    values = filters.get("all", ())
    if len(values) > 1:
        raise Invalid(f"invalid filter 'all=[{' '.join(values)}]': only one value is expected")
    if not values:
        return False
    try:
        return _BOOLEANS[values[0]]
    except KeyError:
        raise Invalid(
            f"invalid filter 'all': strconv.ParseBool: parsing \"{values[0]}\": invalid syntax"
        ) from None


def _named(name: str, patterns: Sequence[str]) -> bool:
    """Regular expressions, anywhere in the name; one that is none matches only itself."""
    if not patterns or name in patterns:
        return True
    for pattern in patterns:
        try:
            if re.search(pattern, name):
                return True
        except re.error:
            continue
    return False


def _labelled(volume: Volume, filters: Filters) -> bool:
    labels = volume.labels or {}
    wanted, unwanted = filters.get("label", ()), filters.get("label!", ())
    if not all(_has(labels, label) for label in wanted):
        return False
    return not (unwanted and all(_has(labels, label) for label in unwanted))


def _has(labels: Mapping[str, str], wanted: str) -> bool:
    key, given, value = wanted.partition("=")
    return key in labels and (not given or labels[key] == value)
