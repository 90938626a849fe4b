"""Routes of networks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hostagent import wire
from hostagent.api import filters
from hostagent.api.decoding import decode
from hostagent.api.message import NO_CONTENT, Answer, Reply, Request, json_reply
from hostagent.api.ports import Connections, Networks
from hostagent.api.router import Route
from hostagent.errors import NotFound


def routes(networks: Networks, connections: Connections) -> Iterator[tuple[str, str, Route]]:
    """Method, pattern, route."""
    handlers = _Networks(networks, connections)
    yield "GET", "/networks", Route(handlers.list)
    yield "POST", "/networks/create", Route(handlers.create)
    yield "POST", "/networks/prune", Route(handlers.prune)
    yield "GET", "/networks/{id}", Route(handlers.inspect)
    yield "DELETE", "/networks/{id}", Route(handlers.remove)
    yield "POST", "/networks/{id}/connect", Route(handlers.connect)
    yield "POST", "/networks/{id}/disconnect", Route(handlers.disconnect)


@dataclass(frozen=True)
class _Networks:
    networks: Networks
    connections: Connections

    async def list(self, request: Request) -> Answer:
        found = self.networks.list(filters.parse(request.query.text("filters")))
        if request.version < (1, 28):  # until then a list had what an inspection has
            found = [self.networks.inspect(each.id) for each in found]
        return json_reply([*found])

    async def create(self, request: Request) -> Answer:
        body = decode(await request.json(), wire.NetworkCreate)
        return json_reply(self.networks.create(body), 201)

    async def inspect(self, request: Request) -> Answer:
        scope = request.query.text("scope") or "local"
        found = self.networks.inspect(request.variables["id"])
        if scope != "local":
            raise NotFound(f"network {request.variables['id']} not found")  # its scope is another
        return json_reply(found)

    async def remove(self, request: Request) -> Answer:
        self.networks.remove(request.variables["id"])
        return NO_CONTENT

    async def prune(self, request: Request) -> Answer:
        return json_reply(self.networks.prune(filters.parse(request.query.text("filters"))))

    async def connect(self, request: Request) -> Answer:
        body = decode(await request.json(), wire.NetworkConnect)
        await self.connections.connect(request.variables["id"], body)
        return Reply(200)

    async def disconnect(self, request: Request) -> Answer:
        body = decode(await request.json(), wire.NetworkDisconnect)
        await self.connections.disconnect(request.variables["id"], body)
        return Reply(200)
