"""Requests and answers as the routes see them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from hostagent import wire
from hostagent.api.query import Query
from hostagent.api.version import Version
from hostagent.errors import Invalid
from hostagent.model.stream import Hijacked, Incoming, Upgrade

JSON = "application/json"
BODY_LIMIT = 16 << 20  # bytes of a JSON body; Docker sets none, and a create body has a few kilobytes

Header = tuple[str, str]
TakeAnswer = Callable[[], Awaitable[Hijacked]]


class Body(Protocol):
    """The body of a request, read as it comes; not reading it holds the client back."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes in pieces. Raises Invalid when the client ends before its own Content-Length."""

    async def read(self, limit: int) -> bytes:
        """All of it. Raises Invalid beyond `limit` bytes."""

    def lend(self) -> AbstractContextManager[Incoming]:
        """In place of reading it: the socket that it is in, of a route that says so. Within the block all of the body
        has to be read from it; the connection ends with the answer."""


@dataclass(frozen=True)
class Request:
    """One request after routing: `variables` are the pattern's, `headers` have lower-case names."""

    method: str
    version: Version
    variables: Mapping[str, str]
    query: Query
    headers: Mapping[str, str]
    body: Body
    upgrade: Upgrade
    take: Callable[[bytes], Awaitable[Hijacked]]
    """Sends a head of the handler's own and takes the connection."""
    take_answer: TakeAnswer | None
    """Sends the head of a chunked JSON answer and takes the connection; None for HTTP/1.0, which has no chunks."""

    async def json(self) -> bytes:
        """The body, which must say that it is JSON unless it is empty. Raises Invalid."""
        raw = await self.body.read(BODY_LIMIT)
        kind = self.headers.get("content-type", "")
        if raw and kind.partition(";")[0].strip().lower() != JSON:
            raise Invalid(f"unsupported Content-Type header ({kind}): must be 'application/json'")
        return raw


@dataclass(frozen=True)
class Reply:
    """An answer that is there as a whole."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True)
class Stream:
    """An answer that comes in pieces, each sent on at once.

    With `head_first` the head goes out before the first piece; without, an error before the first piece is an
    HTTP error. An error after that cuts the connection, for a whole body must not be faked.
    """

    chunks: AsyncIterator[bytes]
    content_type: str = JSON
    head_first: bool = True
    headers: tuple[Header, ...] = field(default=())


Answer = Reply | Stream | None
"""None: the connection was taken by Request.upgrade."""

Handler = Callable[[Request], Awaitable[Answer]]


def json_reply(value: object, status: int = 200) -> Reply:
    """`value` as JSON, with the line end that Docker sends."""
    return Reply(status, wire.encode(value) + b"\n")


def error_reply(status: int, message: str) -> Reply:
    """Docker's shape of an error; 304 has no body."""
    return Reply(status) if status == 304 else json_reply(wire.Error(message=message), status)


NO_CONTENT = Reply(204)
