"""Which way leads to a container's files, and that nobody else mounts or removes them meanwhile."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from hostagent.engine.container import Container
from hostagent.engine.files import mountspec
from hostagent.engine.files.mountedvolumes import MountedVolumes
from hostagent.errors import Conflict
from hostagent.image.filejobs import Bind, Root, RunningRoot, StoppedRoot
from hostagent.image.service import ImageService

ENGINE_FILES = (("resolv.conf", "/etc/resolv.conf"), ("hostname", "/etc/hostname"), ("hosts", "/etc/hosts"))


class Roots:
    """Visits of containers' files by helper processes."""

    def __init__(self, images: ImageService, volumes: MountedVolumes) -> None:
        self._images = images
        self._volumes = volumes

    @asynccontextmanager
    async def visit(self, container: Container) -> AsyncIterator[Root]:
        """The way in, for as long as the block runs.

        A stopped container does not start meanwhile; one that ends does not start again before the block has. The
        container's removal cancels the task that the block runs in.
        """
        if not self._runs(container):
            async with container.lock:
                if container.gone or container.removing:
                    raise Conflict(f"container {container.id} is being removed")
                # While this waited for the lock it may have started.
                if not self._runs(container):
                    with _noted(container):
                        yield self._stopped(container)
                    return
        with _noted(container):
            yield RunningRoot(container.state.pid, container.id)

    @staticmethod
    def _runs(container: Container) -> bool:
        return container.state.pid != 0

    def _stopped(self, container: Container) -> StoppedRoot:
        image = self._images.resolve(container.image_id)
        directory = container.directory
        return StoppedRoot(
            lower=list(self._images.lowerdirs(image)),
            upper=f"{directory}/upper",
            work=f"{directory}/work",
            mountpoint=f"{directory}/rootfs",
            binds=self._binds(container),
        )

    def _binds(self, container: Container) -> list[Bind]:
        """Outer places first. The engine's own files are there from the first start on."""
        mounts = container.mounts
        mountspec.ensure_sources(mounts.binds)
        found = [Bind(bind.source, bind.destination, bind.read_only) for bind in mounts.binds]
        found += self._volumes.binds(container)
        taken = mounts.destinations
        for name, place in ENGINE_FILES:
            source = f"{container.directory}/{name}"
            if place not in taken and os.path.exists(source):
                found.append(Bind(source, place))
        return sorted(found, key=lambda bind: bind.destination.count("/"))


@contextmanager
def _noted(container: Container) -> Iterator[None]:
    """This task is among the container's visits. Not while it waits for the lock: a start, which has it, waits for the
    visits."""
    task = asyncio.current_task()
    assert task is not None
    container.visits.add(task)
    try:
        yield
    finally:
        container.visits.discard(task)
