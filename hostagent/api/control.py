"""Routes that look at and change containers that run: update, pause, unpause, stats, top."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from hostagent import wire
from hostagent.api import versioned
from hostagent.api.decoding import decode
from hostagent.api.message import NO_CONTENT, Answer, Request, Stream, json_reply
from hostagent.api.ports import Control
from hostagent.api.router import Route
from hostagent.errors import Invalid


def routes(control: Control) -> Iterator[tuple[str, str, Route]]:
    """Method, pattern, route."""
    handlers = _Control(control)
    yield "POST", "/containers/{id}/update", Route(handlers.update)
    yield "POST", "/containers/{id}/pause", Route(handlers.pause)
    yield "POST", "/containers/{id}/unpause", Route(handlers.unpause)
    yield "GET", "/containers/{id}/top", Route(handlers.top, abandoned_with_client=True)
    yield "GET", "/containers/{id}/stats", Route(handlers.stats, abandoned_with_client=True)


@dataclass(frozen=True)
class _Control:
    control: Control

    async def update(self, request: Request) -> Answer:
        wanted = versioned.update_as_meant(decode(await request.json(), wire.HostConfig), request.version)
        return json_reply(await self.control.update(request.variables["id"], wanted))

    async def pause(self, request: Request) -> Answer:
        await self.control.pause(request.variables["id"])
        return NO_CONTENT

    async def unpause(self, request: Request) -> Answer:
        await self.control.unpause(request.variables["id"])
        return NO_CONTENT

    async def top(self, request: Request) -> Answer:
        arguments = request.query.text("ps_args") or ""
        return json_reply(await self.control.top(request.variables["id"], arguments))

    async def stats(self, request: Request) -> Answer:
        ref = request.variables["id"]
        stream = request.query.flag("stream", default=True)
        one_shot = request.version >= (1, 41) and request.query.flag("one-shot")
        if not stream:
            return json_reply(await self.control.stats(ref, one_shot))
        samples = self.control.stats_stream(ref)
        if one_shot:
            raise Invalid("cannot have stream=true and one-shot=true")
        return Stream(_lines(samples))


async def _lines(samples: AsyncIterator[wire.Stats]) -> AsyncIterator[bytes]:
    """A JSON object a line."""
    async for sample in samples:
        yield wire.encode(sample) + b"\n"
