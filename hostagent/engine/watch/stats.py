"""Statistics of containers, once and as a stream. One round of sampling a second serves all streams; none, no round."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator

from msgspec.structs import replace

from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.life.bundles import Bundles
from hostagent.engine.timestamps import timestamp
from hostagent.engine.watch import statview
from hostagent.kernel.cgroup import Cgroup
from hostagent.kernel.cgroup_stats import usage
from hostagent.wire.stats import NetworkStats, Stats

INTERVAL = 1.0
QUEUE = 16
"""Samples that may wait for a slow client; it misses those beyond."""
TICKS = os.sysconf("SC_CLK_TCK")

Samples = asyncio.Queue[Stats | None]
"""None: the container is gone."""


class Statistics:
    """Samples containers for whoever looks."""

    def __init__(self, containers: Containers, bundles: Bundles) -> None:
        self._containers = containers
        self._bundles = bundles
        self._memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self._watched: dict[str, tuple[Container, set[Samples]]] = {}
        self._round: asyncio.Task[None] | None = None

    async def once(self, reference: str, one_shot: bool) -> Stats:
        """One sample. Without `one_shot` it comes a second later and has a sample before it, for rates."""
        container = self._containers.find(reference)
        first = self._sample(container)
        if one_shot or container.state.phase != "running":
            return first
        await asyncio.sleep(INTERVAL)
        return following(first, self._sample(container))

    def stream(self, reference: str) -> AsyncIterator[Stats]:
        """A sample a second, until the container is removed. One that does not run has a name and no numbers."""
        return self._follow(self._containers.find(reference))

    async def _follow(self, container: Container) -> AsyncIterator[Stats]:
        samples: Samples = asyncio.Queue(QUEUE)
        self._add(container, samples)
        before = Stats()
        try:
            while (sample := await samples.get()) is not None:
                sample = following(before, sample)
                yield sample
                before = sample
        finally:
            self._remove(container, samples)

    def _add(self, container: Container, samples: Samples) -> None:
        self._watched.setdefault(container.id, (container, set()))[1].add(samples)
        if self._round is None:
            self._round = asyncio.create_task(self._rounds())

    def _remove(self, container: Container, samples: Samples) -> None:
        watchers = self._watched[container.id][1]
        watchers.discard(samples)
        if not watchers:
            del self._watched[container.id]
        if not self._watched and self._round:
            self._round.cancel()
            self._round = None

    async def _rounds(self) -> None:
        while True:
            for container, watchers in tuple(self._watched.values()):
                sample = None if container.gone else self._sample(container)
                for samples in watchers:
                    if not samples.full():
                        samples.put_nowait(sample)
                await asyncio.sleep(0)  # a thousand containers are no reason to keep others waiting
            await asyncio.sleep(INTERVAL)

    def _sample(self, container: Container) -> Stats:
        """Now; with a name and no numbers when it does not run."""
        name = f"/{container.name}"
        if container.state.phase != "running":
            return Stats(name=name, id=container.id)
        used = usage(Cgroup(self._bundles.cgroup(container)))
        with open("/proc/stat") as file:
            system = statview.system_cpu(file.read(), TICKS)
        networks = _networks(container) if container.host.network_mode != "host" else {}
        sample = statview.stats(used, system, networks, self._memory, timestamp(time.time_ns()))
        return replace(sample, name=name, id=container.id)


def following(before: Stats, sample: Stats) -> Stats:
    """`sample` with what came before it."""
    return replace(sample, preread=before.read, precpu_stats=before.cpu_stats)


def _networks(container: Container) -> dict[str, NetworkStats]:
    try:
        with open(f"/proc/{container.state.pid}/net/dev") as file:
            return statview.networks(file.read())
    except OSError:  # its first process has just ended
        return {}
