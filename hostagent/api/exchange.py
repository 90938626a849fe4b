"""What a connection hands to the application for each request, and what it gets back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hostagent.api.body import IncomingBody
from hostagent.api.message import Answer
from hostagent.model.stream import Hijacked


@dataclass(frozen=True)
class Exchange:
    """A request before routing, and the means to answer it."""

    method: str
    target: str
    headers: dict[str, str]
    body: IncomingBody
    chunked: bool
    """Whether the client understands chunked bodies (HTTP/1.1)."""
    take: Callable[[bytes], Awaitable[Hijacked]]
    """Sends these bytes, the head of an answer, and takes the connection."""


@dataclass(frozen=True)
class Action:
    """What to do for a request; see router.Route for the flags."""

    run: Callable[[], Awaitable[Answer]]
    abandoned_with_client: bool = False
    takes_connection: bool = False
    lends_body: bool = False


Dispatch = Callable[[Exchange], Action]
