"""Removal of a container, with everything that it has."""

from __future__ import annotations

import asyncio
import os
import signal

from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.events import EventBus
from hostagent.engine.files.containervolumes import ContainerVolumes
from hostagent.engine.life import waiting
from hostagent.engine.life.ends import Ends
from hostagent.engine.life.launcher import Launcher
from hostagent.engine.life.restarting import Restarting
from hostagent.engine.life.settling import settled
from hostagent.engine.life.stopping import Stopping
from hostagent.errors import Conflict, EngineError
from hostagent.image.trees import remove_tree

_STOP_FIRST = ": stop the container before removing or force remove"


class Removing:
    """Takes containers away, each once."""

    def __init__(
        self,
        containers: Containers,
        launcher: Launcher,
        events: EventBus,
        volumes: ContainerVolumes,
        ends: Ends,
        stopping: Stopping,
        restarting: Restarting,
    ) -> None:
        self._containers = containers
        self._launcher = launcher
        self._events = events
        self._volumes = volumes
        self._ends = ends
        self._stopping = stopping
        self._restarting = restarting

    async def remove(self, container: Container, force: bool, volumes: bool = False) -> None:
        """Take it away with everything it has; with its anonymous `volumes` too, as always with --rm. Conflict when it
        runs and `force` is not given."""
        if container.removing:
            if force:  # another remove (--rm, say) is at it: as that one ends, so does this
                assert container.removal is not None
                await asyncio.wait({container.removal})
                if error := container.removal.result():
                    raise error
                return
            raise Conflict(f"removal of container {container.id} is already in progress")
        if container.state.running and not force:
            how = " and must be unpaused first" if container.state.paused else _STOP_FIRST
            raise Conflict(
                f'cannot remove container "/{container.name}": container is {container.state.status}{how}'
            )
        container.removing = True
        container.removal = removal = asyncio.get_running_loop().create_future()
        try:
            self._restarting.cancel(container)
            for visit in container.visits:
                visit.cancel()
            async with container.lock:
                if container.state.phase == "running":
                    await self._stopping.end(container, signal.SIGKILL, 0)
                await settled(container)
                await self._ends.end_group(container)
                self._launcher.forget(container.id)
                await asyncio.to_thread(remove_tree, os.fsencode(container.directory))
                for _, fd in container.pending:
                    os.close(fd)
                container.pending.clear()
                self._containers.remove(container)
                container.gone = True
                await self._volumes.release(container, volumes or container.host.auto_remove)
        except BaseException as error:
            container.removing = False
            why = f"{type(error).__name__}: {error}"
            removal.set_result(
                error if isinstance(error, EngineError) else EngineError(f"cannot remove it: {why}")
            )
            waiting.not_removed(container, str(error))
            raise
        removal.set_result(None)
        self._events.publish("container", "destroy", container.id, container.event_attributes())
        waiting.removed(container)
