"""Routes of disk usage: `docker system df`, `docker container prune`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from hostagent.api import filters, versioned
from hostagent.api.message import Answer, Request, json_reply
from hostagent.api.ports import Builds, ContextStore, Usage
from hostagent.api.router import Route
from hostagent.build.builder import until
from hostagent.errors import Invalid

_KINDS = ("container", "image", "volume", "build-cache")


def routes(usage: Usage, builds: Builds, contexts: ContextStore) -> Iterator[tuple[str, str, Route]]:
    """Method, pattern, route."""
    handlers = _Usage(usage, builds, contexts)
    yield "GET", "/system/df", Route(handlers.disk, abandoned_with_client=True)
    yield "POST", "/containers/prune", Route(handlers.prune)
    yield "POST", "/build/prune", Route(handlers.prune_builds)


@dataclass(frozen=True)
class _Usage:
    usage: Usage
    builds: Builds
    contexts: ContextStore

    async def disk(self, request: Request) -> Answer:
        # The parameter came with API 1.42.
        asked = (request.query.texts("type") if request.version >= (1, 42) else ()) or _KINDS
        for kind in asked:
            if kind not in _KINDS:
                raise Invalid(f"unknown object type: {kind}")
        found = await self.usage.disk("container" in asked, "image" in asked, "volume" in asked)
        if "build-cache" in asked:
            found = replace(found, build_cache=[*self.builds.usage(), *await self.contexts.usage()])
        if found.containers is not None:
            shown = [versioned.listed_container(each, request.version) for each in found.containers]
            found = replace(found, containers=shown)
        if found.images is not None:
            found = replace(
                found, images=[versioned.listed_image(each, request.version) for each in found.images]
            )
        return json_reply(found)

    async def prune(self, request: Request) -> Answer:
        return json_reply(await self.usage.prune(filters.parse(request.query.text("filters"))))

    async def prune_builds(self, request: Request) -> Answer:
        query = request.query
        given = filters.parse(query.text("filters"))
        keep = query.number("keep-storage") or 0
        done = await self.builds.prune(query.flag("all"), keep, given)
        left = sum(each.size for each in self.builds.usage() if not each.shared)
        freed = await self.contexts.prune(max(keep - left, 0), until(given))
        return json_reply(replace(done, space_reclaimed=done.space_reclaimed + freed))
