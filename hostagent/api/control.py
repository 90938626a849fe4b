"""Routes that look at and change containers that run: update, pause, unpause."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hostagent.api.message import NO_CONTENT, Answer, Request, json_reply
from hostagent.api.ports import Control
from hostagent.api.router import Route
from hostagent.errors import Invalid


def routes(control: Control) -> Iterator[tuple[str, str, Route]]:
    """Method, pattern, route."""
    handlers = _Control(control)
    yield "POST", "/containers/{id}/update", Route(handlers.update)
    yield "POST", "/containers/{id}/pause", Route(handlers.pause)
    yield "POST", "/containers/{id}/unpause", Route(handlers.unpause)


@dataclass(frozen=True)
class _Control:
    control: Control

    async def update(self, request: Request) -> Answer:
        raw = await request.json()
        if not raw.strip():
            raise Invalid("invalid JSON: got EOF while reading request body")
        return json_reply(await self.control.update(request.variables["id"], raw, request.version))

    async def pause(self, request: Request) -> Answer:
        await self.control.pause(request.variables["id"])
        return NO_CONTENT

    async def unpause(self, request: Request) -> Answer:
        await self.control.unpause(request.variables["id"])
        return NO_CONTENT
