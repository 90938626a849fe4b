"""Routes of volumes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hostagent import wire
from hostagent.api import filters
from hostagent.api.decoding import decode
from hostagent.api.message import NO_CONTENT, Answer, Request, json_reply
from hostagent.api.ports import Volumes
from hostagent.api.router import Route
from hostagent.errors import Unavailable

_NO_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)


def routes(volumes: Volumes) -> Iterator[tuple[str, str, Route]]:
    """Method, pattern, route."""
    handlers = _Volumes(volumes)
    yield "GET", "/volumes", Route(handlers.list)
    yield "POST", "/volumes/create", Route(handlers.create)
    yield "POST", "/volumes/prune", Route(handlers.prune)
    yield "GET", "/volumes/{name}", Route(handlers.inspect)
    yield "PUT", "/volumes/{name}", Route(handlers.update)
    yield "DELETE", "/volumes/{name}", Route(handlers.remove)


@dataclass(frozen=True)
class _Volumes:
    volumes: Volumes

    async def list(self, request: Request) -> Answer:
        found = self.volumes.list(filters.parse(request.query.text("filters")))
        return json_reply(wire.VolumeList(volumes=[*found]))

    async def create(self, request: Request) -> Answer:
        body = decode((await request.json()).strip() or b"{}", wire.VolumeCreate)
        if body.cluster_volume_spec is not None and request.version >= (1, 42):
            raise Unavailable(_NO_SWARM)
        return json_reply(self.volumes.create(body), 201)

    async def inspect(self, request: Request) -> Answer:
        return json_reply(self.volumes.inspect(request.variables["name"]))

    async def update(self, request: Request) -> Answer:
        """Only volumes of a swarm can be changed."""
        raise Unavailable("volume update only valid for cluster volumes, but swarm is unavailable")

    async def remove(self, request: Request) -> Answer:
        await self.volumes.remove(request.variables["name"], request.query.flag("force"))
        return NO_CONTENT

    async def prune(self, request: Request) -> Answer:
        wanted = filters.parse(request.query.text("filters"))
        if request.version < (1, 42):
            wanted["all"] = ["true"]  # until then a name was no reason to be kept
        return json_reply(await self.volumes.prune(wanted))
