"""`docker ps --filter`: which containers a list shows, by dockerd's rules (daemon/list.go of moby 26.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hostagent.engine import views
from hostagent.engine.container import Container
from hostagent.engine.networks import joined, ports
from hostagent.errors import Invalid, NotFound
from hostagent.model.labels import label_matches

Filters = Mapping[str, list[str]]

HEALTH = ("none", "starting", "healthy", "unhealthy")
STATUSES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
# isolation is one of them, but every container on Linux has the same: as in Docker any value lets all pass.
KNOWN = frozenset(
    (
        *("id", "name", "label", "status", "exited", "ancestor", "before", "since", "network", "is-task"),
        *("health", "expose", "publish", "volume", "isolation"),
    )
)
_TRUE, _FALSE = ("1", "true"), ("0", "false")


@dataclass(frozen=True)
class Lookups:
    """Where the names in filters are looked up."""

    container: Callable[[str], Container]
    image_id: Callable[[str], str | None]


def select(
    containers: Iterable[Container], show_all: bool, limit: int, filters: Filters, lookups: Lookups
) -> list[Container]:
    """Newest first. Invalid for an unknown filter or value, NotFound for a `before`/`since` that is not there."""
    check(filters)
    tests = _tests(filters, lookups)
    found = sorted(containers, key=lambda each: each.created_ns, reverse=True)
    if not (show_all or limit > 0 or filters.get("status")):
        found = [each for each in found if each.state.running]
    found = [each for each in found if all(test(each) for test in tests)]
    return found[:limit] if limit > 0 else found


def check(filters: Filters) -> None:
    """Raise Invalid for what no list could be filtered by, in Docker's words."""
    for key in filters:
        if key not in KNOWN:
            raise Invalid(f"invalid filter '{key}'")
    for value in filters.get("exited", ()):
        if not re.fullmatch(r"[+-]?\d{1,18}", value, re.ASCII):
            raise Invalid(f"invalid filter 'exited={value}': write an exit code")
    for value in filters.get("status", ()):
        if value not in STATUSES:
            raise Invalid(f"invalid filter 'status={value}'")
    for value in filters.get("health", ()):
        if value not in HEALTH:
            raise Invalid(f"unrecognized filter value for health: {value}")
    if "is-task" in filters:
        _boolean("is-task", filters["is-task"])


def _boolean(key: str, values: Sequence[str]) -> bool:
    if not values:
        raise Invalid(f"invalid filter '{key}'")
    true, false = (any(value in words for value in values) for words in (_TRUE, _FALSE))
    if true == false:
        raise Invalid(f"invalid filter '{key}=[{' '.join(values)}]'")
    return true


def _tests(filters: Filters, lookups: Lookups) -> list[Callable[[Container], bool]]:
    """One test for each key; keys add up, and the values of most of them are alternatives."""
    tests: list[Callable[[Container], bool]] = []
    if values := filters.get("id"):
        tests.append(_is_one_of(values))
    if values := filters.get("name"):
        tests.append(_named(values))
    if labels := filters.get("label"):
        tests.append(lambda each: all(label_matches(each.labels, label) for label in labels))
    if statuses := filters.get("status"):
        tests.append(lambda each: each.state.status in statuses)
    if values := filters.get("exited"):
        codes = {int(value) for value in values}
        tests.append(
            lambda each: (
                each.state.exit_code in codes and not each.state.running and each.state.started_ns > 0
            )
        )
    if conditions := filters.get("health"):
        tests.append(lambda each: (each.state.health.status if each.state.health else "none") in conditions)
    if "is-task" in filters:
        # Tasks belong to a swarm's services; no container here is one.
        is_task = _boolean("is-task", filters["is-task"])
        tests.append(lambda each: not is_task)
    for key in ("before", "since"):
        for reference in filters.get(key, ()):
            tests.append(_created(key, reference, lookups))
    if "ancestor" in filters:
        # An image that is not there has no containers, which is no error.
        images = {lookups.image_id(name) for name in filters["ancestor"]}
        tests.append(lambda each: each.image_id in images)
    if networks := filters.get("network"):
        tests.append(lambda each: _is_on(each, networks))
    if volumes := filters.get("volume"):
        tests.append(lambda each: _mounts(each, volumes))
    published = ports.of_filter("publish", filters.get("publish", ()))
    exposed = ports.of_filter("expose", filters.get("expose", ()))
    if published or exposed:
        tests.append(lambda each: _has_port(each, published, exposed))
    return tests


def _is_one_of(prefixes: Sequence[str]) -> Callable[[Container], bool]:
    return lambda each: any(each.id.startswith(prefix) for prefix in prefixes)


def _named(patterns: Sequence[str]) -> Callable[[Container], bool]:
    """Regular expressions for the name with or without its slash; what is none is taken literally."""

    def matches(pattern: str, name: str) -> bool:
        if pattern == name:
            return True
        try:
            return re.search(pattern, name) is not None
        except re.error:
            return False

    return lambda each: any(
        matches(pattern, name) for pattern in patterns for name in (each.name, f"/{each.name}")
    )


def _created(key: str, reference: str, lookups: Lookups) -> Callable[[Container], bool]:
    try:
        pivot = lookups.container(reference).created_ns
    except NotFound:
        raise NotFound(f"No such container: {reference}") from None
    if key == "before":
        return lambda each: each.created_ns < pivot
    return lambda each: each.created_ns > pivot


def _is_on(container: Container, networks: Sequence[str]) -> bool:
    """By name, or by ID or the beginning of one."""
    on = joined.shown(container)
    return any(
        value in on or any(value and each.network_id.startswith(value) for each in on.values())
        for value in networks
    )


def _mounts(container: Container, values: Sequence[str]) -> bool:
    """By a volume's name, a source on the host without one, or a destination."""
    points = container.mounts.points(container.host)
    known = {point.name or point.source for point in points} | {point.destination for point in points}
    return any(value in known for value in values)


def _has_port(container: Container, published: set[tuple[int, str]], exposed: set[tuple[int, str]]) -> bool:
    """Published at one or exposing one: of a container that runs, as in Docker."""
    return any(
        (port.public_port, port.type) in published or (port.private_port, port.type) in exposed
        for port in views.ports_of(container)
    )
