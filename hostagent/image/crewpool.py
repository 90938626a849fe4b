"""One worker for small jobs, kept warm for a while: an interpreter's start would be most of a `docker cp`'s time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hostagent.image.crew import Crew

IDLE_SECONDS = 10.0


class CrewPool:
    """Lends its crew; from the event loop's thread only. Closed by its owner."""

    def __init__(self) -> None:
        self._crew: Crew | None = None
        self._users = 0
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._ending: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def crew(self) -> AsyncIterator[Crew]:
        """The crew, started if there is none; a job that is cancelled dies alone."""
        self._users += 1
        self._stop_timer()
        try:
            async with self._lock:
                if self._crew is not None and self._crew.gone:
                    await self._end()
                if self._crew is None:
                    crew = Crew()
                    await crew.__aenter__()
                    self._crew = crew
            yield self._crew
        finally:
            self._users -= 1
            if not self._users:
                self._stop_timer()
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(IDLE_SECONDS, self._idle)

    async def close(self) -> None:
        """Kill the worker with whatever it does."""
        self._stop_timer()
        if self._ending is not None:
            await self._ending
        async with self._lock:
            await self._end()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _idle(self) -> None:
        self._ending = asyncio.get_running_loop().create_task(self._end_if_idle())

    async def _end_if_idle(self) -> None:
        async with self._lock:
            if not self._users:
                await self._end()

    async def _end(self) -> None:
        crew, self._crew = self._crew, None
        if crew is not None:
            await crew.__aexit__(None, None, None)
