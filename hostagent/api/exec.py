"""Routes of processes in running containers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from hostagent import wire
from hostagent.api.decoding import decode
from hostagent.api.message import Answer, Reply, Request, json_reply
from hostagent.api.ports import Engine
from hostagent.api.router import Route
from hostagent.errors import Invalid


def routes(engine: Engine) -> Iterator[tuple[str, str, Route]]:
    """Method, pattern, route."""
    handlers = _Exec(engine)
    yield "POST", "/containers/{id}/exec", Route(handlers.create)
    yield "POST", "/exec/{id}/start", Route(handlers.start, takes_connection=True)
    yield "POST", "/exec/{id}/resize", Route(handlers.resize)
    yield "GET", "/exec/{id}/json", Route(handlers.inspect)


@dataclass(frozen=True)
class _Exec:
    engine: Engine

    async def create(self, request: Request) -> Answer:
        config = decode(await request.json(), wire.ExecCreate)
        if not config.cmd:
            raise Invalid("No exec command specified")
        if request.version < (1, 42):
            config = replace(config, console_size=None)
        exec_id = await self.engine.exec_create(request.variables["id"], config)
        return json_reply(wire.IdResponse(id=exec_id), 201)

    async def start(self, request: Request) -> Answer:
        raw = await request.json()
        config = decode(raw, wire.ExecStart) if raw else wire.ExecStart()
        # A console has a size since API 1.42, and there is none without a TTY.
        size = config.console_size if config.tty and request.version >= (1, 42) else None
        upgrade = None if config.detach else request.upgrade
        await self.engine.exec_start(request.variables["id"], config.detach, config.tty, size, upgrade)
        return Reply(200) if config.detach else None

    async def resize(self, request: Request) -> Answer:
        query = request.query
        await self.engine.exec_resize(
            request.variables["id"], query.needed_number("h"), query.needed_number("w")
        )
        return Reply(200)

    async def inspect(self, request: Request) -> Answer:
        return json_reply(self.engine.exec_inspect(request.variables["id"]))
