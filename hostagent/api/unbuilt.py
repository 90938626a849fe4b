"""Calls of the Docker API that this engine does not have yet: 501 with the name, never silence."""

from __future__ import annotations

from collections.abc import Iterator

from hostagent.api.message import Answer, Handler, Request
from hostagent.api.router import Route
from hostagent.errors import Unavailable, Unsupported


def _kept(what: str) -> tuple[str, ...]:
    """Calls of what a swarm keeps for its services."""
    return (
        *(f"GET /{what}", f"POST /{what}/create", f"GET /{what}/{{id}}"),
        *(f"POST /{what}/{{id}}/update", f"DELETE /{what}/{{id}}"),
    )


_UNBUILT = {
    "builds by BuildKit": ("POST /session", "POST /grpc"),
    "plugins": (
        "GET /plugins",
        "GET /plugins/privileges",
        "POST /plugins/pull",
        "POST /plugins/create",
        *("POST /plugins/{id}/enable", "POST /plugins/{id}/disable", "POST /plugins/{id}/upgrade"),
        *("POST /plugins/{id}/set", "POST /plugins/{id}/push", "DELETE /plugins/{id}"),
    ),
    "swarm": (
        *("GET /swarm", "GET /swarm/unlockkey", "POST /swarm/init", "POST /swarm/join"),
        *("POST /swarm/update", "POST /swarm/unlock"),
        *("GET /nodes", "GET /nodes/{id}", "POST /nodes/{id}/update", "DELETE /nodes/{id}"),
        *("GET /services", "POST /services/create", "GET /services/{id}", "GET /services/{id}/logs"),
        *("POST /services/{id}/update", "DELETE /services/{id}"),
        *("GET /tasks", "GET /tasks/{id}", "GET /tasks/{id}/logs"),
        *_kept("secrets"),
        *_kept("configs"),
    ),
}


def routes() -> Iterator[tuple[str, str, Route]]:
    """Method, pattern, route."""
    for what, calls in _UNBUILT.items():
        for call in calls:
            method, _, pattern = call.partition(" ")
            yield method, pattern, Route(_refusing(what, call))
    yield "POST", "/swarm/leave", Route(_leave)


async def _leave(request: Request) -> Answer:
    """In Docker's words and with its code: clients that tidy up take it for good."""
    raise Unavailable("This node is not part of a swarm")


def _refusing(what: str, call: str) -> Handler:
    async def refuse(request: Request) -> Answer:
        raise Unsupported(f"{what} is not built yet in this engine ({call})")

    return refuse
