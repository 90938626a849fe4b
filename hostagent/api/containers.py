"""Routes of containers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from hostagent import wire
from hostagent.api import filters, versioned, websocket
from hostagent.api.bridge import Bridges
from hostagent.api.decoding import decode
from hostagent.api.message import NO_CONTENT, Answer, Reply, Request, Stream, json_reply
from hostagent.api.ports import Engine, Usage
from hostagent.api.router import Route
from hostagent.api.streams import content_type
from hostagent.api.websocket import Opcode
from hostagent.errors import EngineError, Invalid
from hostagent.model.stream import AttachOptions, Hijacked, LogOptions

_CONDITIONS = frozenset({"not-running", "next-exit", "removed"})
_LEAST_JSON = 7  # bytes of the shortest object with a key; the empty ones that old clients send are shorter


def routes(engine: Engine, usage: Usage, bridges: Bridges) -> Iterator[tuple[str, str, Route]]:
    """Method, pattern, route."""
    handlers = _Containers(engine, usage, bridges)
    yield "GET", "/containers/json", Route(handlers.list)
    yield "POST", "/containers/create", Route(handlers.create)
    yield "GET", "/containers/{id}/json", Route(handlers.inspect)
    yield "POST", "/containers/{id}/start", Route(handlers.start)
    yield "POST", "/containers/{id}/stop", Route(handlers.stop)
    yield "POST", "/containers/{id}/restart", Route(handlers.restart)
    yield "POST", "/containers/{id}/kill", Route(handlers.kill)
    yield "POST", "/containers/{id}/rename", Route(handlers.rename)
    yield "POST", "/containers/{id}/resize", Route(handlers.resize)
    yield "POST", "/containers/{id}/attach", Route(handlers.attach, takes_connection=True)
    yield "GET", "/containers/{id}/attach/ws", Route(handlers.attach_websocket, takes_connection=True)
    yield (
        "POST",
        "/containers/{id}/wait",
        Route(handlers.wait, abandoned_with_client=True, takes_connection=True),
    )
    yield "GET", "/containers/{id}/logs", Route(handlers.logs, abandoned_with_client=True)
    yield "DELETE", "/containers/{id...}", Route(handlers.remove)  # a link is called parent/alias


@dataclass(frozen=True)
class _Containers:
    engine: Engine
    usage: Usage
    bridges: Bridges

    async def list(self, request: Request) -> Answer:
        query = request.query
        found = self.engine.list(
            query.flag("all"), query.number("limit") or 0, filters.parse(query.text("filters"))
        )
        if query.flag("size"):
            found = await self.usage.sized(found)
        return json_reply([versioned.listed_container(each, request.version) for each in found])

    async def create(self, request: Request) -> Answer:
        body = versioned.as_meant(decode(await request.json(), wire.ContainerCreate), request.version)
        platform = request.query.text("platform") if request.version >= (1, 41) else None
        created = await self.engine.create(body, request.query.text("name"), platform)
        told = versioned.warnings(body, request.version)
        return json_reply(replace(created, warnings=[*created.warnings, *told]), 201)

    async def inspect(self, request: Request) -> Answer:
        found = self.engine.inspect(request.variables["id"])
        if request.query.flag("size"):
            found = await self.usage.sized_inspect(found)
        return json_reply(versioned.container(found, request.version))

    async def start(self, request: Request) -> Answer:
        if len((await request.body.read(1 << 20)).strip()) > _LEAST_JSON:
            raise Invalid(
                "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24"
            )
        await self.engine.start(request.variables["id"], request.query.text("detachKeys") or "")
        return NO_CONTENT

    async def stop(self, request: Request) -> Answer:
        await self.engine.stop(request.variables["id"], _signal(request), request.query.number("t"))
        return NO_CONTENT

    async def restart(self, request: Request) -> Answer:
        await self.engine.restart(request.variables["id"], _signal(request), request.query.number("t"))
        return NO_CONTENT

    async def kill(self, request: Request) -> Answer:
        ref = request.variables["id"]
        try:
            await self.engine.kill(ref, request.query.text("signal"))
        except EngineError as error:
            # Docker says so for all reasons, and with the name that was used.
            raise type(error)(f"cannot kill container: {ref}: {error}") from error
        return NO_CONTENT

    async def rename(self, request: Request) -> Answer:
        name = request.query.text("name")
        if name is None:
            raise Invalid("Neither old nor new names may be empty")
        await self.engine.rename(request.variables["id"], name)
        return NO_CONTENT

    async def resize(self, request: Request) -> Answer:
        query = request.query
        await self.engine.resize(request.variables["id"], query.needed_number("h"), query.needed_number("w"))
        return Reply(200)

    async def remove(self, request: Request) -> Answer:
        query = request.query
        await self.engine.remove(
            request.variables["id"], query.flag("force"), query.flag("v"), query.flag("link")
        )
        return NO_CONTENT

    async def attach(self, request: Request) -> Answer:
        query = request.query
        options = AttachOptions(
            stream=query.flag("stream"),
            logs=query.flag("logs"),
            stdin=query.flag("stdin"),
            stdout=query.flag("stdout"),
            stderr=query.flag("stderr"),
            detach_keys=query.text("detachKeys") or "",
        )
        await self.engine.attach(request.variables["id"], options, request.upgrade)
        return None

    async def attach_websocket(self, request: Request) -> Answer:
        query, head = request.query, websocket.accept(request.headers)
        # Before API 1.42 all streams were attached, whatever was asked for; before 1.28 frames were text.
        chosen = request.version >= (1, 42)
        options = AttachOptions(
            stream=query.flag("stream"),
            logs=query.flag("logs"),
            stdin=query.flag("stdin") or not chosen,
            stdout=query.flag("stdout") or not chosen,
            stderr=query.flag("stderr") or not chosen,
            detach_keys=query.text("detachKeys") or "",
            framed=False,
        )
        opcode = Opcode.BINARY if request.version >= (1, 28) else Opcode.TEXT

        async def upgrade(framed: bool) -> Hijacked:
            return self.bridges.open(await request.take(head), opcode)

        await self.engine.attach(request.variables["id"], options, upgrade)
        return None

    async def wait(self, request: Request) -> Answer:
        # API 1.30 brought conditions, and the head before the exit: clients start the container on seeing it.
        early = request.version >= (1, 30)
        condition = (request.query.text("condition") if early else None) or "not-running"
        if condition not in _CONDITIONS:
            raise Invalid(f'invalid condition: "{condition}"')
        if not early or request.take_answer is None:
            return json_reply(await self.engine.waiter(request.variables["id"], condition))
        result = await self.engine.wait(request.variables["id"], condition, request.take_answer)
        return json_reply(result) if result is not None else None

    async def logs(self, request: Request) -> Answer:
        query = request.query
        options = LogOptions(
            stdout=query.flag("stdout"),
            stderr=query.flag("stderr"),
            follow=query.flag("follow"),
            since=query.nanoseconds("since"),
            until=query.nanoseconds("until"),
            tail=_tail(query.text("tail")),
            timestamps=query.flag("timestamps"),
            details=query.flag("details"),
        )
        if not options.stdout and not options.stderr:
            raise Invalid("Bad parameters: you must choose at least one stream")
        tty, chunks = self.engine.logs(request.variables["id"], options)
        return Stream(chunks, content_type(not tty, request.version))


def _signal(request: Request) -> str | None:
    """The signal to stop with; before API 1.42 there was no such parameter."""
    return request.query.text("signal") if request.version >= (1, 42) else None


def _tail(value: str | None) -> int:
    """Lines; `all`, and what is not a number, is everything (-1), as in Docker."""
    return int(value) if value is not None and value.isascii() and value.isdigit() else -1
