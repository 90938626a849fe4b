"""Starts that a restart policy wants: after a pause, and again when something stands in the way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from hostagent.engine.background import Background
from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.life import restarts
from hostagent.errors import EngineError, Invalid

log = logging.getLogger(__name__)

Start = Callable[[Container], Awaitable[None]]


class Restarting:
    """Holds the tasks that wait for a container's next start; `start` is called under the container's lock."""

    def __init__(self, containers: Containers, background: Background, start: Start) -> None:
        self._containers = containers
        self._background = background
        self._start = start
        self._held = True
        """Until the network is reconciled: what is to be started again waits for `start_by_policy`."""

    def start_by_policy(self) -> None:
        """What the restart policies want after a daemon's start; from now on they act at once. As in Docker the count
        of restarts begins anew, and `always` forgets that it was stopped by hand."""
        self._held = False
        for container in self._containers.all():
            state = container.state
            if state.phase == "restarting" or (
                state.phase == "exited" and restarts.wanted_at_boot(container.host.restart_policy, state)
            ):
                self._containers.save(
                    container,
                    replace(state, phase="restarting", restarts=0, short_runs=0, stopped_by_hand=False),
                )
                self.start_in(container, 0)

    def start_in(self, container: Container, seconds: float) -> None:
        """One more start, after a pause."""
        if self._held:
            return
        container.restart = self._background.spawn(self._start_later(container, seconds))

    async def _start_later(self, container: Container, seconds: float) -> None:
        """Start it after a pause; what stands in the way for now (a port, a dying launcher) is tried again, later and
        later. A command that cannot be run never will: then it stays down."""
        while True:
            await asyncio.sleep(seconds)
            async with container.lock:
                if container.state.phase != "restarting" or container.removing:
                    return
                container.restart = None
                try:
                    await self._start(container)
                    return
                except (EngineError, OSError) as error:
                    log.warning("container %s does not restart: %s", container.id[:12], error)
                    if isinstance(error, Invalid):
                        return
                state = container.state
                state = replace(
                    state, phase="restarting", restarts=state.restarts + 1, short_runs=state.short_runs + 1
                )
                self._containers.save(container, state)
                seconds = restarts.delay(state)
                container.restart = asyncio.current_task()

    def cancel(self, container: Container) -> None:
        """Somebody decided otherwise while it waited for its next start."""
        if container.restart:
            container.restart.cancel()
            container.restart = None
            if container.state.phase == "restarting":
                self._containers.save(container, replace(container.state, phase="exited"))
