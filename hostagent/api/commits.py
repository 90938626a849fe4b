"""Routes of what a container changed: `docker diff` and `docker commit`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hostagent import wire
from hostagent.api.decoding import decode
from hostagent.api.images import tagged
from hostagent.api.message import Answer, Request, json_reply
from hostagent.api.ports import Committing
from hostagent.api.router import Route
from hostagent.model.commit import CommitOptions


def routes(committing: Committing) -> Iterator[tuple[str, str, Route]]:
    """Method, pattern, route."""
    handlers = _Commits(committing)
    yield "GET", "/containers/{id}/changes", Route(handlers.changes, abandoned_with_client=True)
    yield "POST", "/commit", Route(handlers.commit)


@dataclass(frozen=True)
class _Commits:
    committing: Committing

    async def changes(self, request: Request) -> Answer:
        return json_reply(await self.committing.changes(request.variables["id"]) or None)

    async def commit(self, request: Request) -> Answer:
        query = request.query
        config = _config(await request.json())
        repository = query.text("repo")
        asked = CommitOptions(
            reference=tagged(repository, query.text("tag")) if repository else None,
            author=query.text("author") or "",
            comment=query.text("comment") or "",
            pause=query.flag("pause", default=True),
            changes=tuple(query.texts("changes")),
        )
        image = await self.committing.commit(query.text("container") or "", config, asked)
        return json_reply(wire.IdResponse(id=image), 201)


def _config(raw: bytes) -> wire.Config | None:
    """The configuration in the body; None for one that says nothing, as most clients send."""
    if raw.strip() in (b"", b"null"):
        return None
    config = decode(raw, wire.Config)
    return None if config == wire.Config() else config
