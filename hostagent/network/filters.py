"""`docker network ls --filter` and `docker network prune --filter`, in Docker's words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hostagent.errors import EngineError, Invalid
from hostagent.network.network import PREDEFINED
from hostagent.wire import Network

Filters = Mapping[str, Sequence[str]]

_LIST = frozenset({"dangling", "driver", "id", "idOrName", "label", "name", "scope", "type"})
_PRUNE = frozenset({"label", "label!", "until"})


def select(networks: Sequence[Network], filters: Filters, used: frozenset[str]) -> list[Network]:
    """Those that a list shows; `used` are IDs of networks with running containers. Raises Invalid."""
    _known(filters, _LIST)
    found = [network for network in networks if _passes(network, filters)]
    if values := filters.get("dangling"):
        dangling = _dangling(values)
        found = [each for each in found if dangling == (each.name not in PREDEFINED and each.id not in used)]
    if values := filters.get("type"):
        for value in values:
            if value not in ("builtin", "custom"):
                raise EngineError(f"invalid filter: 'type'='{value}'")
        found = [each for each in found if ("builtin" if each.name in PREDEFINED else "custom") in values]
    return found


def check_prune(filters: Filters) -> None:
    """Raise Invalid for a filter that prune does not have."""
    _known(filters, _PRUNE)


def labelled(labels: Mapping[str, str] | None, filters: Filters) -> bool:
    """Whether the `label` and `label!` filters let these labels pass."""
    have = labels or {}
    wanted, unwanted = filters.get("label", ()), filters.get("label!", ())
    if not all(_has(have, label) for label in wanted):
        return False
    return not (unwanted and all(_has(have, label) for label in unwanted))


def _passes(network: Network, filters: Filters) -> bool:
    def any_of(key: str, test: object) -> bool:
        return not filters.get(key) or bool(test)

    ids_or_names = filters.get("idOrName", ())
    return (
        any_of("driver", network.driver in filters.get("driver", ()))
        and any_of("name", _matches(network.name, filters.get("name", ())))
        and any_of("id", _matches(network.id, filters.get("id", ())))
        and any_of("scope", network.scope in filters.get("scope", ()))
        and any_of("idOrName", _matches(network.name, ids_or_names) or _matches(network.id, ids_or_names))
        and labelled(network.labels, {"label": filters.get("label", ())})
    )


def _known(filters: Filters, accepted: frozenset[str]) -> None:
    for name in filters:
        if name not in accepted:
            raise Invalid(f"invalid filter '{name}'")


def _dangling(values: Sequence[str]) -> bool:
    if len(values) > 1:
        raise Invalid('got more than one value for filter key "dangling"')
    if values[0] in ("1", "true"):
        return True
    if values[0] in ("0", "false"):
        return False
    raise Invalid('invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")')


def _matches(text: str, patterns: Sequence[str]) -> bool:
    """Regular expressions, anywhere in the text; one that is none matches only itself."""
    if text in patterns:
        return True
    for pattern in patterns:
        try:
            if re.search(pattern, text):
                return True
        except re.error:
            continue
    return False


def _has(labels: Mapping[str, str], wanted: str) -> bool:
    key, given, value = wanted.partition("=")
    return key in labels and (not given or labels[key] == value)
