"""The body of a request on its way from the connection to the handler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from hostagent.errors import Invalid
from hostagent.model.stream import Incoming

BUFFERED = 1 << 18  # bytes held for a handler that does not read; then the client has to wait


class IncomingBody:
    """Filled by the connection, emptied by the handler.

    `wanted` is called when a handler is about to read: the connection answers `Expect: 100-continue` and reads on.
    `lent` is called when another process is about to: the connection reads nothing before `finish`.
    """

    def __init__(self, wanted: Callable[[], None], lent: Callable[[], Incoming]) -> None:
        self._wanted = wanted
        self._lent = lent
        self._pieces: list[bytes] = []
        self._size = 0
        self._error: str | None = None
        self._reader: asyncio.Future[None] | None = None
        self.complete = False

    @property
    def full(self) -> bool:
        """Whether the connection should stop reading for now."""
        return self._size >= BUFFERED

    def feed(self, data: bytes) -> None:
        """More bytes came."""
        self._pieces.append(data)
        self._size += len(data)
        self._wake()

    def finish(self) -> None:
        """The end came."""
        self.complete = True
        self._wake()

    def fail(self, why: str) -> None:
        """The end will never come."""
        self._error = why
        self._wake()

    async def chunks(self) -> AsyncIterator[bytes]:
        """See hostagent.api.message.Body."""
        while True:
            if self._pieces:
                data, self._size = b"".join(self._pieces), 0
                self._pieces.clear()
                self._wanted()
                yield data
            elif self._error is not None:
                raise Invalid(self._error)
            elif self.complete:
                return
            else:
                self._wanted()
                if self._waiting():  # what was there already may have come at once
                    self._reader = asyncio.get_running_loop().create_future()
                    await self._reader

    async def read(self, limit: int) -> bytes:
        """See hostagent.api.message.Body."""
        pieces: list[bytes] = []
        size = 0
        async for data in self.chunks():
            pieces.append(data)
            size += len(data)
            if size > limit:
                raise Invalid(f"the request's body has more than {limit} bytes, the limit of this call")
        return b"".join(pieces)

    @contextmanager
    def lend(self) -> Iterator[Incoming]:
        """See hostagent.api.message.Body."""
        yield self._lent()
        self.finish()
        self._wanted()

    def _waiting(self) -> bool:
        return not (self._pieces or self.complete or self._error is not None)

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
