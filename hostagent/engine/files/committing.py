"""`docker diff` and `docker commit`: what a container changed in its files, and an image of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from hostagent import wire
from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.events import EventBus
from hostagent.engine.life.pausing import Pausing
from hostagent.errors import Conflict, EngineError
from hostagent.image.changes import apply_changes
from hostagent.image.committing import Commit
from hostagent.image.crewpool import CrewPool
from hostagent.image.overlaydiff import Difference, difference
from hostagent.image.service import ImageService
from hostagent.model.commit import CommitOptions
from hostagent.model.image import Healthcheck, ImageConfig


class Committing:
    """`ref` is a name, an ID or an unambiguous ID prefix."""

    def __init__(
        self,
        containers: Containers,
        images: ImageService,
        pausing: Pausing,
        events: EventBus,
        crews: CrewPool,
    ) -> None:
        self._containers = containers
        self._images = images
        self._pausing = pausing
        self._events = events
        self._crews = crews

    async def changes(self, ref: str) -> Sequence[wire.FilesystemChange]:
        """A directory before what is in it, names sorted."""
        found = await self._difference(self._containers.find(ref))
        return [
            wire.FilesystemChange(path=change.path.decode("utf-8", "replace"), kind=int(change.kind))
            for change in found.changes
        ]

    async def _difference(self, container: Container) -> Difference:
        lower = self._images.lowerdirs(self._images.resolve(container.image_id))
        return await asyncio.to_thread(difference, f"{container.directory}/upper", lower)

    async def commit(self, ref: str, config: wire.Config | None, asked: CommitOptions) -> str:
        """The new image's ID. Raises Invalid for a wrong change before anything is done."""
        container = self._containers.find(ref)
        if container.removing:
            raise Conflict(f"You cannot commit container {container.id} which is being removed")
        own = image_config(container.config)
        wanted = merged(apply_changes(image_config(config) if config else own, asked.changes), own)
        parent = self._images.resolve(container.image_id)
        async with self._standing_still(container, asked.pause), self._crews.crew() as crew:
            found = await self._difference(container)
            image = await self._images.commit(
                crew,
                Commit(
                    parent=parent,
                    upper=f"{container.directory}/upper",
                    leave_out=sorted(found.needless),
                    config=wanted,
                    created_by=" ".join(container.config.cmd or ()),
                    author=asked.author,
                    comment=asked.comment,
                ),
                asked.reference,
            )
            name = asked.reference.familiar if asked.reference else ""
            attributes = container.event_attributes(comment=asked.comment, imageID=image, imageRef=name)
            self._events.publish("container", "commit", container.id, attributes)
        return image

    @asynccontextmanager
    async def _standing_still(self, container: Container, pause: bool) -> AsyncIterator[None]:
        """Paused for the block, if it runs and is not paused anyway."""
        by_us = pause and await self._paused(container)
        try:
            yield
        finally:
            if by_us:
                with suppress(EngineError):  # it was removed, or somebody else has let it go on
                    await self._pausing.unpause(container.id)

    async def _paused(self, container: Container) -> bool:
        """Whether it stands still through us: not if it did anyway."""
        try:
            await self._pausing.pause(container.id, held=True)
        except Conflict:
            return False
        return True


def image_config(config: wire.Config) -> ImageConfig:
    """The part of a container's configuration that an image carries."""
    health = config.healthcheck
    return ImageConfig(
        user=config.user,
        env=tuple(config.env or ()),
        entrypoint=tuple(config.entrypoint) if config.entrypoint is not None else None,
        cmd=tuple(config.cmd) if config.cmd is not None else None,
        working_dir=config.working_dir,
        labels=config.labels or {},
        exposed_ports=tuple(config.exposed_ports),
        volumes=tuple(config.volumes or ()),
        stop_signal=config.stop_signal,
        shell=tuple(config.shell) or None,
        on_build=tuple(config.on_build or ()),
        healthcheck=None
        if health is None
        else Healthcheck(
            tuple(health.test),
            health.interval,
            health.timeout,
            health.start_period,
            health.start_interval,
            health.retries,
        ),
    )


def merged(config: ImageConfig, container: ImageConfig) -> ImageConfig:
    """What `config` leaves open is as in the container. Docker's merge: an own entrypoint drops the other's command."""
    entrypoint, cmd = config.entrypoint, config.cmd
    if not entrypoint:
        cmd = cmd or container.cmd
        entrypoint = entrypoint if entrypoint is not None else container.entrypoint
    own = {entry.partition("=")[0] for entry in config.env}
    inherited = tuple(entry for entry in container.env if entry.partition("=")[0] not in own)
    return ImageConfig(
        user=config.user or container.user,
        env=config.env + inherited,
        entrypoint=entrypoint,
        cmd=cmd,
        working_dir=config.working_dir or container.working_dir,
        labels={**container.labels, **config.labels},
        exposed_ports=tuple(dict.fromkeys(config.exposed_ports + container.exposed_ports)),
        volumes=tuple(dict.fromkeys(config.volumes + container.volumes)),
        stop_signal=config.stop_signal or container.stop_signal,
        shell=config.shell,
        on_build=config.on_build,
        healthcheck=_merged_check(config.healthcheck, container.healthcheck),
    )


def _merged_check(own: Healthcheck | None, other: Healthcheck | None) -> Healthcheck | None:
    if own is None or other is None:
        return own or other
    return Healthcheck(
        own.test or other.test,
        own.interval or other.interval,
        own.timeout or other.timeout,
        own.start_period or other.start_period,
        own.start_interval or other.start_interval,
        own.retries or other.retries,
    )
