"""/pymachine/v1/contexts, contents, build: builds whose files come in parts, only those that this host lacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hostagent import wire
from hostagent.api.build import build_stream
from hostagent.api.message import BODY_LIMIT, NO_CONTENT, Answer, Request, json_reply
from hostagent.api.ports import Builds, ContextStore
from hostagent.api.router import Route
from hostagent.build.builder import Request as BuildRequest
from hostagent.build.context import Given
from hostagent.errors import Invalid
from hostagent.model.image import Image
from hostagent.wire.context import BuildInput


def routes(contexts: ContextStore, builds: Builds) -> Iterator[tuple[str, str, Route]]:
    """Method, pattern, route."""
    handlers = _Contexts(contexts, builds)
    yield "GET", "/pymachine/v1/contexts/{name}", Route(handlers.state)
    yield "PUT", "/pymachine/v1/contexts/{name}", Route(handlers.describe)
    yield "POST", "/pymachine/v1/contents", Route(handlers.receive, lends_body=True)
    yield "POST", "/pymachine/v1/build", Route(handlers.build, abandoned_with_client=True)


@dataclass(frozen=True)
class _Contexts:
    contexts: ContextStore
    builds: Builds

    async def state(self, request: Request) -> Answer:
        return json_reply(await self.contexts.state(request.variables["name"], _id(request)))

    async def describe(self, request: Request) -> Answer:
        name = request.variables["name"]
        return json_reply(await self.contexts.describe(name, _id(request), request.body.chunks()))

    async def receive(self, request: Request) -> Answer:
        with request.body.lend() as incoming:
            await self.contexts.receive(incoming)
        return NO_CONTENT

    async def build(self, request: Request) -> Answer:
        """POST /build's parameters and stream, on a context that is here."""
        name, wanted = request.query.text("context") or "", _id(request)
        try:
            given = wire.decode(await request.body.read(BODY_LIMIT), BuildInput)
        except ValueError as error:
            raise Invalid(f"the body is not what this call takes: {error}") from None

        async def run(asked: BuildRequest) -> Image:
            async with self.contexts.use(name, wanted) as (directory, manifest):
                return await self.builds.build(asked, Given(directory, manifest, wanted, given.dockerfile))

        return build_stream(request, self.builds.platform, run, given.secrets)


def _id(request: Request) -> str:
    return request.query.text("id") or ""
