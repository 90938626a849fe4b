"""Routes of a container's files: `docker cp` and `docker export`."""

from __future__ import annotations

import base64
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from hostagent.api.message import Answer, Reply, Request, Stream
from hostagent.api.ports import Files
from hostagent.api.router import Route
from hostagent.errors import Invalid

_TAR = "application/x-tar"
_STAT = "X-Docker-Container-Path-Stat"


def routes(files: Files) -> Iterator[tuple[str, str, Route]]:
    """Method, pattern, route."""
    handlers = _Archive(files)
    yield "HEAD", "/containers/{id}/archive", Route(handlers.stat, abandoned_with_client=True)
    yield "GET", "/containers/{id}/archive", Route(handlers.read, abandoned_with_client=True)
    yield "PUT", "/containers/{id}/archive", Route(handlers.write)
    yield "GET", "/containers/{id}/export", Route(handlers.export, abandoned_with_client=True)


@dataclass(frozen=True)
class _Archive:
    files: Files

    async def stat(self, request: Request) -> Answer:
        found = await self.files.stat(request.variables["id"], _path(request))
        return Reply(200, headers=(_header(found),))

    async def read(self, request: Request) -> Answer:
        found, tar = await self.files.read(request.variables["id"], _path(request))
        headers = (_header(found),)
        coding = _coding(request.headers.get("accept-encoding", ""))
        if coding is None:
            return Stream(tar, _TAR, headers=headers)
        return Stream(_compressed(tar, coding), _TAR, headers=(*headers, ("Content-Encoding", coding)))

    async def write(self, request: Request) -> Answer:
        query = request.query
        await self.files.write(
            request.variables["id"],
            _path(request),
            request.body.chunks(),
            query.flag("copyUIDGID"),
            query.flag("noOverwriteDirNonDir"),
        )
        return Reply(200)

    async def export(self, request: Request) -> Answer:
        return Stream(
            self.files.export(request.variables["id"]), "application/octet-stream", head_first=False
        )


def _path(request: Request) -> str:
    path = request.query.text("path")
    if not path:
        raise Invalid("bad parameter: pathcannot be empty")  # Docker's own words
    if "\0" in path:
        raise Invalid("the path has a zero byte: no file has such a name")
    return path


def _header(stat: bytes) -> tuple[str, str]:
    return _STAT, base64.b64encode(stat).decode()


def _coding(accepted: str) -> str | None:
    """The content coding to use: gzip or deflate if the client names it, else none."""
    for coding in ("gzip", "deflate"):
        for offer in accepted.split(","):
            name, _, parameters = offer.strip().partition(";")
            if name.strip().lower() == coding and parameters.replace(" ", "") not in ("q=0", "q=0.0"):
                return coding
    return None


async def _compressed(pieces: AsyncIterator[bytes], coding: str) -> AsyncIterator[bytes]:
    """gzip, or a raw deflate stream, as Docker sends it under that name."""
    deflate = zlib.compressobj(1, zlib.DEFLATED, 31 if coding == "gzip" else -15)
    async for piece in pieces:
        if data := deflate.compress(piece):
            yield data
    yield deflate.flush()
