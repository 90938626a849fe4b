"""Builds that only say what was asked for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from hostagent import wire
from hostagent.build.builder import Body
from hostagent.build.builder import Request as BuildRequest
from hostagent.build.context import Given
from hostagent.errors import Conflict, NotFound
from hostagent.image.incoming import BodyReader
from hostagent.kernel.fds import owned
from hostagent.model.image import Image, ImageConfig, Platform
from hostagent.model.stream import Incoming
from hostagent.wire.context import ContextLacks, ContextState


def _received(incoming: Incoming) -> bytes:
    """The body, as a worker reads it."""
    with owned(incoming.fd):
        reader, pieces = BodyReader(incoming.fd, incoming.early, incoming.length), []
        while piece := reader.piece():
            pieces.append(piece)
    return b"".join(pieces)


class FakeBuilds:
    """Keeps what was asked; the image has a fixed ID."""

    platform = Platform("linux", "amd64")

    def __init__(self) -> None:
        self.asked: list[BuildRequest] = []
        self.received = b""

    async def build(self, request: BuildRequest, context: Body | Given) -> Image:
        self.asked.append(request)
        if not isinstance(context, Given):
            with context.lend() as incoming:
                self.received = await asyncio.to_thread(_received, incoming)
        request.say("Step 1/1 : FROM x\n")
        return Image(f"sha256:{'0' * 64}", self.platform, ImageConfig(), ())

    def usage(self) -> list[wire.BuildCache]:
        return []

    async def prune(
        self, everything: bool, keep: int, filters: dict[str, list[str]]
    ) -> wire.BuildCachePruned:
        return wire.BuildCachePruned()


class FakeContexts:
    """Has none and takes none."""

    async def state(self, name: str, wanted: str) -> ContextState:
        return ContextState()

    async def describe(self, name: str, wanted: str, stream: AsyncIterator[bytes]) -> ContextLacks:
        raise Conflict("no contexts here")

    async def receive(self, incoming: Incoming) -> None:
        os.close(incoming.fd)
        raise Conflict("no contexts here")

    @asynccontextmanager
    async def use(self, name: str, wanted: str) -> AsyncIterator[tuple[str, str]]:
        if wanted:
            raise NotFound("no contexts here")
        yield "", ""

    async def usage(self) -> Sequence[wire.BuildCache]:
        return []

    async def prune(self, keep: int, until_ns: int) -> int:
        return 0
