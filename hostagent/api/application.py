"""The Docker Engine API as a server: routes over connections over sockets."""

from __future__ import annotations

import asyncio
import logging
import socket
from urllib.parse import unquote

from hostagent.api import (
    archive,
    build,
    commits,
    containers,
    contexts,
    control,
    exec,
    handover,
    images,
    machine,
    networks,
    registries,
    system,
    unbuilt,
    usage,
    version,
    volumefiles,
    volumes,
)
from hostagent.api.bridge import Bridges
from hostagent.api.exchange import Action, Exchange
from hostagent.api.http import BUFFER, Connection
from hostagent.api.message import Answer, Reply, Request, error_reply
from hostagent.api.ports import Services
from hostagent.api.query import Query
from hostagent.api.router import Route, Router
from hostagent.api.streams import chunked_head, content_type, upgrade_head
from hostagent.errors import EngineError
from hostagent.model.stream import Hijacked

log = logging.getLogger(__name__)

CLOSE_SECONDS = 10.0  # for requests under way when the daemon ends


class Application:
    """All routes of the API on top of one engine; any number of listening sockets."""

    def __init__(self, services: Services) -> None:
        engine = services.engine
        self._router = Router()
        self._bridges = Bridges()
        for method, pattern, route in (
            *system.routes(engine),
            *containers.routes(engine, services.usage, self._bridges),
            *exec.routes(engine),
            *control.routes(services.control),
            *images.routes(services.images, services.image_removal),
            *registries.routes(services.registries),
            *archive.routes(services.files),
            *volumes.routes(services.volumes),
            *volumefiles.routes(services.volume_files),
            *networks.routes(services.networks, services.connections),
            *machine.routes(services.shims),
            *usage.routes(services.usage, services.builds, services.contexts),
            *commits.routes(services.committing),
            *build.routes(services.builds),
            *handover.routes(services.handover),
            *contexts.routes(services.contexts, services.builds),
            *unbuilt.routes(),
        ):
            self._router.add(method, pattern, route)
        self._common = (
            ("Api-Version", version.text(version.NEWEST)),
            ("Docker-Experimental", "false"),
            ("Ostype", "linux"),
            ("Server", f"Docker/{engine.version().version} (linux)"),
        )
        self._servers: list[asyncio.Server] = []
        self._connections: set[Connection] = set()
        self._buffer = memoryview(bytearray(BUFFER))

    async def listen(self, sock: socket.socket) -> None:
        """Serves a bound stream socket (unix or TCP), which is ours to close from here on."""
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Connection(self.dispatch, self._common, self._connections, self._buffer), sock=sock
        )
        self._servers.append(server)

    async def close(self) -> None:
        """Stops listening, ends endless streams, lets other requests finish within CLOSE_SECONDS."""
        for server in self._servers:
            server.close()
        tasks = [connection.task for connection in self._connections if connection.task is not None]
        for connection in list(self._connections):
            connection.close()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()
        await self._bridges.close()
        # One turn of the loop for the transports to close their descriptors.
        await asyncio.sleep(0)

    def dispatch(self, exchange: Exchange) -> Action:
        """Finds the route. What is wrong with the path or its version becomes the answer."""
        path, _, query = exchange.target.partition("?")
        if not path.startswith("/"):  # absolute form, as sent through a proxy
            path = "/" + path.partition("://")[2].partition("/")[2]
        # Empty segments go: names are also sent with their leading slash.
        segments = [segment for segment in unquote(path).split("/") if segment]
        asked = version.from_segment(segments[0]) if segments else None
        found = self._router.find(exchange.method, segments[1:] if asked else segments)
        if found is None:
            return _answering(error_reply(404, "page not found"))
        try:
            version.check(asked or version.NEWEST)
        except EngineError as error:
            return _answering(error_reply(error.status, str(error)))
        route, variables = found
        request = self._request(exchange, asked or version.NEWEST, variables, Query(query))
        return _calling(route, request)

    def _request(
        self, exchange: Exchange, asked: version.Version, variables: dict[str, str], query: Query
    ) -> Request:
        async def upgrade(multiplexed: bool) -> Hijacked:
            # Clients that do not ask for an upgrade know only the old name of the stream.
            upgrading = "upgrade" in exchange.headers
            kind = content_type(multiplexed and upgrading, asked)
            return await exchange.take(upgrade_head(kind, upgrading))

        async def take_answer() -> Hijacked:
            return await exchange.take(chunked_head(self._common))

        return Request(
            method=exchange.method,
            version=asked,
            variables=variables,
            query=query,
            headers=exchange.headers,
            body=exchange.body,
            upgrade=upgrade,
            take=exchange.take,
            take_answer=take_answer if exchange.chunked else None,
        )


def _calling(route: Route, request: Request) -> Action:
    return Action(
        lambda: route.handler(request), route.abandoned_with_client, route.takes_connection, route.lends_body
    )


def _answering(reply: Reply) -> Action:
    async def run() -> Answer:
        return reply

    return Action(run)
