"""Routes of the engine itself: ping, version, info, events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from hostagent import wire
from hostagent.api import filters, versioned
from hostagent.api.message import Answer, Reply, Request, Stream, json_reply
from hostagent.api.ports import Engine
from hostagent.api.router import Route
from hostagent.errors import Invalid

_TEXT = "text/plain; charset=utf-8"
# Builder-Version 1 is the classic builder: clients must not assume BuildKit behind this API.
_PING_HEADERS = (
    ("Builder-Version", "1"),
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
    ("Swarm", "inactive"),
)


def routes(engine: Engine) -> Iterator[tuple[str, str, Route]]:
    """Method, pattern, route."""

    async def ping(request: Request) -> Answer:
        if request.method == "HEAD":
            return Reply(200, headers=(*_PING_HEADERS, ("Content-Type", _TEXT)))
        return Reply(200, b"OK", _TEXT, _PING_HEADERS)

    async def version(request: Request) -> Answer:
        return json_reply(engine.version())

    async def info(request: Request) -> Answer:
        return json_reply(versioned.info(engine.info(), request.version))

    async def events(request: Request) -> Answer:
        query = request.query
        since, until = query.moment("since"), query.moment("until")
        if since is not None and until is not None and until < since:
            raise Invalid(
                f"`since` time ({query.text('since')}) cannot be after `until` time ({query.text('until')})"
            )
        found = engine.events(since, until, filters.parse(query.text("filters")))
        return Stream(_lines(found))

    yield "GET", "/_ping", Route(ping)
    yield "HEAD", "/_ping", Route(ping)
    yield "GET", "/version", Route(version)
    yield "GET", "/info", Route(info)
    yield "GET", "/events", Route(events, abandoned_with_client=True)


async def _lines(events: AsyncIterator[wire.Event]) -> AsyncIterator[bytes]:
    async for event in events:
        yield wire.encode(event) + b"\n"
