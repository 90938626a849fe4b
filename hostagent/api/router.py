"""Method and path to handler, through dicts of segments: the cost does not grow with the number of routes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hostagent.api.message import Handler


@dataclass(frozen=True)
class Route:
    """A handler and how it deals with its connection.

    `abandoned_with_client`: cancelled when the client goes away; a change of state, once begun, is finished whoever
    listens. `takes_connection`: it may call Request.upgrade, so nothing behind the request is read before.
    `lends_body`: it may call Body.lend, so nothing of the body is read before.
    """

    handler: Handler
    abandoned_with_client: bool = False
    takes_connection: bool = False
    lends_body: bool = False


@dataclass
class _Node:
    fixed: dict[str, _Node] = field(default_factory=dict)
    variable: tuple[str, _Node] | None = None
    # A name of several segments ({name...}): what comes after it (one segment, or "" for nothing) -> route.
    greedy: dict[str, tuple[str, Route]] = field(default_factory=dict)
    route: Route | None = None


class Router:
    """Patterns are `/containers/{id}/json`, `/images/{name...}/json` (a name with slashes), `/images/{name...}`."""

    def __init__(self) -> None:
        self._methods: dict[str, _Node] = {}

    def add(self, method: str, pattern: str, route: Route) -> None:
        """Raises ValueError when the pattern is taken."""
        node = self._methods.setdefault(method, _Node())
        segments = pattern.strip("/").split("/")
        for index, segment in enumerate(segments):
            if segment.endswith("...}"):
                suffix = "/".join(segments[index + 1 :])
                if suffix in node.greedy:
                    raise ValueError(f"{method} {pattern} is there twice")
                node.greedy[suffix] = (segment[1:-4], route)
                return
            if segment.startswith("{"):
                if node.variable is None:
                    node.variable = (segment[1:-1], _Node())
                node = node.variable[1]
            else:
                node = node.fixed.setdefault(segment, _Node())
        if node.route is not None:
            raise ValueError(f"{method} {pattern} is there twice")
        node.route = route

    def find(self, method: str, segments: Sequence[str]) -> tuple[Route, dict[str, str]] | None:
        """The route for a path's segments (none of them empty) and its variables."""
        node = self._methods.get(method)
        return _walk(node, segments, 0) if node is not None else None


def _walk(node: _Node, segments: Sequence[str], at: int) -> tuple[Route, dict[str, str]] | None:
    """A fixed segment goes before a variable, which is tried too: a container may be called "json"."""
    if at == len(segments):
        return (node.route, {}) if node.route is not None else None
    following = node.fixed.get(segments[at])
    found = _walk(following, segments, at + 1) if following is not None else None
    if found is None and node.greedy:
        found = _match_greedy(node, segments[at:])
    if found is None and node.variable is not None:
        name, following = node.variable
        found = _walk(following, segments, at + 1)
        if found is not None:
            found[1][name] = segments[at]
    return found


def _match_greedy(node: _Node, rest: Sequence[str]) -> tuple[Route, dict[str, str]] | None:
    if len(rest) > 1 and rest[-1] in node.greedy:
        name, route = node.greedy[rest[-1]]
        return route, {name: "/".join(rest[:-1])}
    if "" in node.greedy:
        name, route = node.greedy[""]
        return route, {name: "/".join(rest)}
    return None
