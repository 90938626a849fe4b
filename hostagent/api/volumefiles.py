"""/pymachine/v1/volumes: whole volumes as tar."""

from __future__ import annotations

from collections.abc import Iterator

from hostagent.api.message import NO_CONTENT, Answer, Request, Stream
from hostagent.api.ports import VolumeFiles
from hostagent.api.router import Route


def routes(files: VolumeFiles) -> Iterator[tuple[str, str, Route]]:
    """Method, pattern, route."""

    async def export(request: Request) -> Answer:
        return Stream(files.export(request.variables["name"]), "application/x-tar", head_first=False)

    async def fill(request: Request) -> Answer:
        await files.fill(request.variables["name"], request.body.chunks())
        return NO_CONTENT

    yield "GET", "/pymachine/v1/volumes/{name}/archive", Route(export, abandoned_with_client=True)
    yield "PUT", "/pymachine/v1/volumes/{name}/archive", Route(fill)
