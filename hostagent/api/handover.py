"""/pymachine/v1/images: an image from one host to another, only the layers that are missing there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hostagent import wire
from hostagent.api.message import BODY_LIMIT, Answer, Request, Stream, json_reply
from hostagent.api.ports import Handover
from hostagent.api.router import Route
from hostagent.errors import Invalid
from hostagent.wire.handover import ImageParts

_BYTES = "application/zstd"


def routes(handover: Handover) -> Iterator[tuple[str, str, Route]]:
    """Method, pattern, route."""
    handlers = _Handover(handover)
    yield "GET", "/pymachine/v1/images/{name...}/parts", Route(handlers.parts)
    yield "GET", "/pymachine/v1/images/{name...}/layer", Route(handlers.read, abandoned_with_client=True)
    yield "POST", "/pymachine/v1/images", Route(handlers.take)


@dataclass(frozen=True)
class _Handover:
    handover: Handover

    async def parts(self, request: Request) -> Answer:
        return json_reply(self.handover.parts(request.variables["name"]))

    async def read(self, request: Request) -> Answer:
        digest, offset = request.query.text("digest") or "", request.query.number("offset") or 0
        if offset < 0:
            raise Invalid(f"offset is {offset}: bytes from the begin of the layer")
        chunks = self.handover.read(request.variables["name"], digest, offset)
        return Stream(chunks, _BYTES, head_first=False)

    async def take(self, request: Request) -> Answer:
        try:
            parts = wire.decode(await request.body.read(BODY_LIMIT), ImageParts)
        except ValueError as error:
            raise Invalid(f"the body is not what this call takes: {error}") from None
        return json_reply(await self.handover.take(parts))
