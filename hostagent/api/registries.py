"""Routes of registries: `docker login`, `docker search`, `GET /distribution/{name}/json`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hostagent import wire
from hostagent.api import filters, registryauth
from hostagent.api.decoding import decode
from hostagent.api.message import Answer, Request, json_reply
from hostagent.api.ports import Registries
from hostagent.api.router import Route
from hostagent.errors import Invalid
from hostagent.model.reference import Reference


def routes(registries: Registries) -> Iterator[tuple[str, str, Route]]:
    """Method, pattern, route."""
    handlers = _Registries(registries)
    yield "POST", "/auth", Route(handlers.login, abandoned_with_client=True)
    yield "GET", "/images/search", Route(handlers.search, abandoned_with_client=True)
    yield "GET", "/distribution/{name...}/json", Route(handlers.look, abandoned_with_client=True)


@dataclass(frozen=True)
class _Registries:
    registries: Registries

    async def login(self, request: Request) -> Answer:
        auth = decode(await request.json(), wire.AuthConfig)
        return json_reply(await self.registries.login(auth))

    async def search(self, request: Request) -> Answer:
        query = request.query
        limit = query.number("limit") or 0
        if limit < 0:
            raise Invalid("invalid limit specified")
        auth = registryauth.decode(request.headers.get(registryauth.HEADER))
        wanted = filters.parse(query.text("filters"))
        return json_reply(await self.registries.search(query.text("term") or "", limit, wanted, auth))

    async def look(self, request: Request) -> Answer:
        auth = registryauth.decode(request.headers.get(registryauth.HEADER))
        return json_reply(await self.registries.look(Reference.parse(request.variables["name"]), auth))
