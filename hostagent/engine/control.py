"""Looking at and changing containers that run: what hostagent.api.control asks for, joined from its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator

from hostagent import wire
from hostagent.engine.life.pausing import Pausing
from hostagent.engine.limits.updates import Updates
from hostagent.engine.watch.stats import Statistics
from hostagent.engine.watch.top import Processes


class Control:
    """Facade for hostagent.api (its protocol `ports.Control`)."""

    def __init__(
        self, pausing: Pausing, updates: Updates, statistics: Statistics, processes: Processes
    ) -> None:
        self._pausing = pausing
        self._updates = updates
        self._statistics = statistics
        self._processes = processes

    async def pause(self, ref: str) -> None:
        await self._pausing.pause(ref)

    async def unpause(self, ref: str) -> None:
        await self._pausing.unpause(ref)

    async def update(self, ref: str, wanted: wire.HostConfig) -> wire.UpdateResult:
        return await self._updates.update(ref, wanted)

    async def stats(self, ref: str, one_shot: bool) -> wire.Stats:
        return await self._statistics.once(ref, one_shot)

    def stats_stream(self, ref: str) -> AsyncIterator[wire.Stats]:
        return self._statistics.stream(ref)

    async def top(self, ref: str, arguments: str) -> wire.Top:
        return await self._processes.top(ref, arguments)
