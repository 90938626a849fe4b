"""`docker ps --filter`: which containers a list shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from hostagent.engine import ports
from hostagent.engine.container import Container
from hostagent.errors import EngineError, Invalid, NotFound, Unsupported
from hostagent.model.reference import Reference

Filters = Mapping[str, list[str]]
Find = Callable[[str], Container]

HEALTH = ("none", "starting", "healthy", "unhealthy")
PHASES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
KNOWN = (
    *("id", "name", "label", "status", "exited", "ancestor", "before", "since", "network", "is-task"),
    *("health", "expose", "publish", "volume"),
)
LATER = ("isolation",)


def select(
    containers: list[Container], show_all: bool, limit: int, filters: Filters, find: Find
) -> list[Container]:
    """Newest first. Invalid for an unknown filter or value, NotFound for a `before`/`since` that is not there."""
    check(filters)
    found = sorted(containers, key=lambda each: each.created_ns, reverse=True)
    if not (show_all or limit > 0 or any(key in filters for key in ("status", "exited"))):
        found = [each for each in found if each.state.running]
    for key in ("before", "since"):
        for reference in filters.get(key, ()):
            try:
                pivot = find(reference).created_ns
            except NotFound:
                raise NotFound(f"No such container: {reference}") from None
            found = [
                each
                for each in found
                if (each.created_ns < pivot if key == "before" else each.created_ns > pivot)
            ]
    found = [each for each in found if _passes(each, filters)]
    return found[:limit] if limit > 0 else found


def check(filters: Filters) -> None:
    for key, values in filters.items():
        if key in LATER:
            raise Unsupported(f"filter {key!r} is not supported yet")
        if key not in KNOWN:
            raise Invalid(f"invalid filter '{key}'")
        if key == "status" and (wrong := [value for value in values if value not in PHASES]):
            raise Invalid(f"invalid filter 'status={wrong[0]}'")
        if key == "exited" and (wrong := [value for value in values if not value.lstrip("-").isdigit()]):
            raise Invalid(f"invalid filter 'exited={wrong[0]}'")
        if key == "health" and (wrong := [value for value in values if value not in HEALTH]):
            raise Invalid(f"unrecognized filter value for health: {wrong[0]}")


def _passes(container: Container, filters: Filters) -> bool:
    return all(not values or _one(container, key, values) for key, values in filters.items())


def _one(container: Container, key: str, values: list[str]) -> bool:
    match key:
        case "id":
            return any(container.id.startswith(value) for value in values)
        case "name":
            return any(_name(container.name, value) for value in values)
        case "label":
            return all(label_matches(container.labels, value) for value in values)
        case "status":
            return container.state.status in values
        case "exited":
            return container.state.phase == "exited" and str(container.state.exit_code) in values
        case "ancestor":
            return any(_descends(container, value) for value in values)
        case "network":
            return container.host.network_mode in values
        case "health":
            return (container.state.health.status if container.state.health else "none") in values
        case "is-task":
            return not any(value.lower() in ("1", "true") for value in values)
        case "volume":
            points = container.mounts.points(container.host)
            known = {each.name or each.source for each in points} | {each.destination for each in points}
            return not known.isdisjoint(values)
        case "expose":
            return any(ports.in_range(key, values) for key in container.config.exposed_ports)
        case "publish":
            return any(
                ports.in_range(f"{port.host_port}/{port.proto}", values) for port in container.state.ports
            )
        case _:
            return True


def _name(name: str, pattern: str) -> bool:
    """A regular expression for the name with or without its slash; what is none is taken as plain text."""
    try:
        wanted = re.compile(pattern)
    except re.error:
        return pattern in name
    return bool(wanted.search(name) or wanted.search(f"/{name}"))


def label_matches(labels: Mapping[str, str], wanted: str) -> bool:
    """`key` or `key=value`."""
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)


def _descends(container: Container, image: str) -> bool:
    name = container.config.image
    try:
        same = Reference.parse(image) == Reference.parse(name)
    except EngineError:
        same = False
    if same:
        return True
    digits = container.image_id.removeprefix("sha256:")
    return image in (name, name.partition(":")[0], container.image_id) or (
        len(image) >= 4 and digits.startswith(image)
    )
