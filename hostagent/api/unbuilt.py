"""Calls of the Docker API that this engine does not have yet: 501 with the name, never silence."""

from __future__ import annotations

from collections.abc import Iterator

from hostagent.api.message import Answer, Handler, Request
from hostagent.api.ports import Engine
from hostagent.api.router import Route
from hostagent.errors import NotFound, Unsupported

_UNBUILT = {
    "builds by BuildKit": ("POST /session", "POST /grpc"),
    "joining networks": (
        "POST /networks/{id}/connect",
        "POST /networks/{id}/disconnect",
    ),
    "plugins": ("GET /plugins",),
    "swarm": (
        "GET /swarm",
        "POST /swarm/init",
        "POST /swarm/join",
        "GET /nodes",
        "GET /services",
        "GET /tasks",
    ),
}

_NETWORKS = ("bridge", "host", "none")


def routes(engine: Engine) -> Iterator[tuple[str, str, Route]]:
    """Method, pattern, route."""
    for what, calls in _UNBUILT.items():
        for call in calls:
            method, _, pattern = call.partition(" ")
            yield method, pattern, Route(_refusing(what, call, engine))


def _refusing(what: str, call: str, engine: Engine) -> Handler:
    async def refuse(request: Request) -> Answer:
        _must_exist(call, request, engine)
        raise Unsupported(f"{what} is not built yet in this engine ({call})")

    return refuse


def _must_exist(call: str, request: Request, engine: Engine) -> None:
    """What is not there is told first: `docker inspect NAME` asks for containers, images, networks, volumes in turn."""
    if "/containers/{id}/" in call:
        engine.inspect(request.variables["id"])
    if "/networks/{id}" in call and (name := request.variables["id"]) not in _NETWORKS:
        raise NotFound(f"network {name} not found")
