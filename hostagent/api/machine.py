"""/pymachine/v1: what Docker has no call for."""

from __future__ import annotations

from collections.abc import Iterator

from hostagent.api.message import Answer, Request, json_reply
from hostagent.api.ports import Shims
from hostagent.api.router import Route


def routes(shims: Shims) -> Iterator[tuple[str, str, Route]]:
    async def list_shims(request: Request) -> Answer:
        return json_reply(shims.list())

    yield "GET", "/pymachine/v1/shims", Route(list_shims)
