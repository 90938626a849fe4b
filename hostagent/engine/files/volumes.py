"""Volumes as the API has them: list, create, inspect, remove, prune, and how much they hold."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from hostagent import wire
from hostagent.engine.containers import Containers
from hostagent.engine.events import EventBus
from hostagent.errors import Conflict, NotFound
from hostagent.volume import directory, filters
from hostagent.volume.store import VolumeStore
from hostagent.volume.volume import LOCAL, Volume, check_driver, check_name, check_options

Filters = dict[str, list[str]]


class Volumes:
    """All volumes, and which containers hold them: one that is held is not removed."""

    def __init__(self, volumes: VolumeStore, containers: Containers, events: EventBus) -> None:
        self._store = volumes
        self._events = events
        self._holders: defaultdict[str, set[str]] = defaultdict(set)
        self._pruning = asyncio.Lock()
        for container in containers.all():
            for mount in container.mounts.volumes:
                self._holders[mount.name].add(container.id)

    def recover(self) -> None:
        """Once, at the engine's start, before anything is created."""
        self._store.recover(self.used)

    @property
    def used(self) -> frozenset[str]:
        """Names that containers hold."""
        return frozenset(name for name, holders in self._holders.items() if holders)

    def holders(self, name: str) -> frozenset[str]:
        """IDs of the containers that hold it; one may be under creation still."""
        return frozenset(self._holders.get(name, ()))

    def hold(self, name: str, container_id: str) -> None:
        self._holders[name].add(container_id)

    def let_go(self, name: str, container_id: str) -> None:
        self._holders[name].discard(container_id)

    # -- the API

    def list(self, filters_: Filters) -> Sequence[wire.Volume]:
        found = filters.select(self._store.all(), filters_, self.used)
        return [self._wire(volume) for volume in found]

    def inspect(self, name: str) -> wire.Volume:
        return self._wire(self.get(name))

    def get(self, name: str) -> Volume:
        """NotFound in Docker's words."""
        if found := self._store.get(name):
            return found
        raise NotFound(f"get {name}: no such volume")

    def create(self, body: wire.VolumeCreate) -> wire.Volume:
        """The volume of that name as it is, when there is one."""
        return self._wire(self.ensure(body.name, body.driver, body.labels, body.driver_opts))

    def ensure(
        self,
        name: str,
        driver: str,
        labels: Mapping[str, str] | None,
        options: Mapping[str, str] | None,
        making: str | None = None,
    ) -> Volume:
        """The volume `name`, made if need be; a new anonymous one for "". `making`: the container it is made for."""
        check_driver(name, driver)
        if name and (found := self._store.get(name)):
            if making is None:
                self._store.settle(name)
            return found
        if name:
            check_name(name)
        check_options(name, options or {})
        volume = self._store.create(name, labels, options, making)
        self._events.publish("volume", "create", volume.name, {"driver": LOCAL})
        return volume

    async def remove(self, name: str, force: bool) -> None:
        """`force` forgives only that there is none."""
        volume = self._store.get(name)
        if volume is None and force:
            return
        volume = self.get(name)
        if holders := self._holders.get(name):
            raise Conflict(f"remove {name}: volume is in use - [{', '.join(sorted(holders))}]")
        await self._remove([volume])

    async def remove_unused(self, names: Iterable[str]) -> None:
        """Those of `names` that are there and that no container holds."""
        found = [self._store.get(name) for name in dict.fromkeys(names) if not self._holders.get(name)]
        if unused := [volume for volume in found if volume]:
            await self._remove(unused)

    async def _remove(self, volumes: Sequence[Volume]) -> None:
        doomed = [self._store.remove(volume) for volume in volumes]
        for volume in volumes:
            self._holders.pop(volume.name, None)
        await asyncio.shield(asyncio.to_thread(self._store.delete, doomed))
        for volume in volumes:
            self._events.publish("volume", "destroy", volume.name, {"driver": LOCAL})

    async def prune(self, filters_: Filters) -> wire.VolumesPruned:
        """Remove what nobody holds; anonymous ones only, unless `all` is among the filters."""
        if self._pruning.locked():
            raise Conflict("a prune operation is already running")
        async with self._pruning:
            chosen = filters.prunable(self._store.all(), filters_, self.used)
            deleted, reclaimed = [], 0
            for volume in chosen:
                size = await asyncio.to_thread(directory.size, self._store.data(volume.name))
                if self._holders.get(volume.name) or self._store.get(volume.name) is not volume:
                    continue  # somebody took it, or removed it, meanwhile
                await self._remove([volume])
                deleted.append(volume.name)
                reclaimed += size
            self._events.publish("volume", "prune", "", {"reclaimed": str(reclaimed)})
        return wire.VolumesPruned(volumes_deleted=deleted, space_reclaimed=reclaimed)

    async def usage(self) -> Sequence[wire.Volume]:
        """For `docker system df`: those that hold data of their own, with its size."""
        plain = [volume for volume in self._store.all() if not volume.options]
        found = []
        for volume in plain:
            size = await asyncio.to_thread(directory.size, self._store.data(volume.name))
            holders = len(self._holders.get(volume.name, ()))
            found.append(self._wire(volume, wire.VolumeUsage(ref_count=holders, size=size)))
        return found

    def _wire(self, volume: Volume, usage: wire.VolumeUsage | None = None) -> wire.Volume:
        return wire.Volume(
            created_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(volume.created_ns // 1_000_000_000)),
            labels=None if volume.labels is None else dict(volume.labels),
            mountpoint=self._store.data(volume.name),
            name=volume.name,
            options=None if volume.options is None else dict(volume.options),
            usage_data=usage,
        )
