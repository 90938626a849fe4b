"""`docker ps --filter`: which containers a list shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hostagent.engine.container import Container
from hostagent.errors import Invalid, NotFound, Unsupported

Filters = Mapping[str, list[str]]
Find = Callable[[str], Container]

PHASES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
LATER = ("volume", "health", "is-task", "expose", "publish", "isolation")


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
    known = ("id", "name", "label", "status", "exited", "ancestor", "before", "since", "network")
    for key, values in filters.items():
        if key in LATER:
            raise Unsupported(f"filter {key!r} is not supported yet")
        if key not in known:
            raise Invalid(f"invalid filter '{key}'")
        if key == "status" and (wrong := [value for value in values if value not in PHASES]):
            raise Invalid(f"invalid filter 'status={wrong[0]}'")
        if key == "exited" and (wrong := [value for value in values if not value.lstrip("-").isdigit()]):
            raise Invalid(f"invalid filter 'exited={wrong[0]}'")


def _passes(container: Container, filters: Filters) -> bool:
    return all(not values or _one(container, key, values) for key, values in filters.items())


def _one(container: Container, key: str, values: list[str]) -> bool:
    match key:
        case "id":
            return any(container.id.startswith(value) for value in values)
        case "name":
            return any(
                value.strip("/^$") in container.name and _name(container.name, value) for value in values
            )
        case "label":
            return all(label_matches(container.labels, value) for value in values)
        case "status":
            return container.state.phase in values
        case "exited":
            return container.state.phase == "exited" and str(container.state.exit_code) in values
        case "ancestor":
            return any(_descends(container, value) for value in values)
        case "network":
            return container.host.network_mode in values
        case _:
            return True


def _name(name: str, pattern: str) -> bool:
    """Docker matches names as regular expressions; anchors are what people use of them."""
    begins, ends = pattern.startswith("^"), pattern.endswith("$")
    text = pattern.strip("/^$").lstrip("/")
    return (not begins or name.startswith(text)) and (not ends or name.endswith(text))


def label_matches(labels: Mapping[str, str], wanted: str) -> bool:
    """`key` or `key=value`."""
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)


def _descends(container: Container, image: str) -> bool:
    name = container.config.image
    digits = container.image_id.removeprefix("sha256:")
    return image in (name, name.partition(":")[0], container.image_id) or (
        len(image) >= 4 and digits.startswith(image)
    )
