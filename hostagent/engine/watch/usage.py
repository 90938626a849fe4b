"""Disk: sizes of containers, `docker system df`, `docker container prune`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from hostagent import wire
from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.engine import Engine
from hostagent.engine.events import EventBus
from hostagent.engine.files.volumes import Volumes
from hostagent.engine.filters import Filters
from hostagent.engine.life.lifecycle import Lifecycle
from hostagent.errors import Conflict, EngineError, Invalid, NotFound
from hostagent.image.overlaydiff import written
from hostagent.image.service import ImageService
from hostagent.model.labels import label_matches
from hostagent.model.moment import parse_moment

log = logging.getLogger(__name__)

PRUNE_FILTERS = ("label", "label!", "until")


class Usage:
    """Walks of containers' files are in threads; what images take is in the database."""

    def __init__(
        self,
        engine: Engine,
        containers: Containers,
        lifecycle: Lifecycle,
        images: ImageService,
        volumes: Volumes,
        events: EventBus,
    ) -> None:
        self._engine = engine
        self._containers = containers
        self._lifecycle = lifecycle
        self._images = images
        self._volumes = volumes
        self._events = events
        self._pruning = asyncio.Lock()

    # -- sizes

    async def sized(self, found: Sequence[wire.ContainerSummary]) -> Sequence[wire.ContainerSummary]:
        """The same with bytes of the writable layer and of the whole root; without those that are gone meanwhile."""
        result: list[wire.ContainerSummary] = []
        for each in found:
            try:
                own, whole = await self._sizes(self._containers.find(each.id))
            except NotFound:
                continue
            result.append(replace(each, size_rw=own, size_root_fs=whole))
        return result

    async def sized_inspect(self, found: wire.ContainerInspect) -> wire.ContainerInspect:
        own, whole = await self._sizes(self._containers.find(found.id))
        return replace(found, size_rw=own, size_root_fs=whole)

    async def _sizes(self, container: Container) -> tuple[int, int]:
        own = await self._written(container)
        return own, own + self._images.size(container.image_id)

    @staticmethod
    async def _written(container: Container) -> int:
        try:
            return await asyncio.to_thread(written, f"{container.directory}/upper")
        except FileNotFoundError:
            raise NotFound(f"No such container: {container.id}") from None

    # -- docker system df

    async def disk(self, containers: bool, images: bool, volumes: bool) -> wire.DiskUsage:
        """Of what is asked for."""
        usage = wire.DiskUsage()
        if containers:
            usage = replace(usage, containers=[*await self.sized(self._engine.list(True, 0, {}))])
        if images:
            users = Counter(container.image_id for container in self._containers.all())
            listed, layers = self._images.usage()
            counted = [replace(each, containers=users[each.id]) for each in listed]
            usage = replace(usage, images=counted, layers_size=layers)
        if volumes:
            usage = replace(usage, volumes=[*await self._volumes.usage()])
        return usage

    # -- docker container prune

    async def prune(self, filters: Filters) -> wire.ContainersPruned:
        """Remove all that do not run and pass the filters. Raises Invalid, and Conflict while another is at it."""
        for name in filters:
            if name not in PRUNE_FILTERS:
                raise Invalid(f"invalid filter '{name}'")
        until = _until(filters)
        if self._pruning.locked():
            raise Conflict("a prune operation is already running")
        deleted: list[str] = []
        reclaimed = 0
        async with self._pruning:
            for container in self._containers.all():
                if (
                    container.state.running
                    or container.begun is not None
                    or not _passes(container, filters, until)
                ):
                    continue
                try:
                    size = await self._written(container)
                    await self._lifecycle.remove(container, force=False)
                except EngineError as error:
                    log.warning("container %s was not pruned: %s", container.id[:12], error)
                    continue
                deleted.append(container.id)
                reclaimed += size
            self._events.publish("container", "prune", "", {"reclaimed": str(reclaimed)})
        return wire.ContainersPruned(containers_deleted=deleted or None, space_reclaimed=reclaimed)


def _until(filters: Filters) -> int:
    """Nanoseconds since 1970; 0 = no limit."""
    values = filters.get("until", [])
    if len(values) > 1:
        raise Invalid("more than one until filter specified")
    return parse_moment(values[0], time.time_ns()) if values else 0


def _passes(container: Container, filters: Filters, until: int) -> bool:
    if until and container.created_ns > until:
        return False
    if not all(label_matches(container.labels, wanted) for wanted in filters.get("label", ())):
        return False
    unwanted = filters.get("label!", ())
    return not unwanted or not all(label_matches(container.labels, each) for each in unwanted)
