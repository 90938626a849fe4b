"""Pause and unpause: all processes of a container stand still, frozen by its cgroup, and know nothing of it.

The kernel keeps the truth (a container stays frozen without any daemon); the row repeats it for lists.
"""

from __future__ import annotations

import asyncio
import signal

from msgspec.structs import replace

from hostagent.engine import validate
from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.events import EventBus
from hostagent.engine.life.bundles import Bundles
from hostagent.errors import Conflict, EngineError
from hostagent.kernel.cgroup import Cgroup

FREEZE_LIMIT = 10.0
"""Seconds: a process that sleeps uninterruptibly (on a dead disk, say) cannot be stopped."""
LONGEST_LOOK = 0.02


class Pausing:
    """Freezes and thaws containers, and records it."""

    def __init__(self, containers: Containers, bundles: Bundles, events: EventBus) -> None:
        self._containers = containers
        self._bundles = bundles
        self._events = events

    async def pause(self, reference: str, *, held: bool = False) -> None:
        """Done when everything stands still. Conflict when it does not run, or is paused already. One that is `held` is
        let go by the next daemon if this one dies."""
        container = self._containers.find(reference)
        async with container.lock:
            must_run(container)
            if container.state.paused:
                raise Conflict(f"Container {container.id} is already paused")
            if held:
                self._save(container, paused=False, held=True)
            try:
                await self._freeze(container)
            except EngineError:
                if held:
                    self._save(container, paused=False, held=False)
                raise
            self._record(container, paused=True, held=held)

    async def _freeze(self, container: Container) -> None:
        group = self._group(container)
        try:
            frozen = group.freeze()
        except OSError as error:
            raise EngineError(f"cannot pause container {container.id}: {error.strerror}") from None
        if not frozen and not group.exists():
            raise Conflict(f"container {container.id} is not running")  # it has just ended
        if not frozen:
            raise EngineError(f"cannot pause container {container.id}: this host has no cgroup freezer")
        await self._until_still(container, group)

    async def unpause(self, reference: str) -> None:
        """EngineError when it is not paused, as Docker has it."""
        container = self._containers.find(reference)
        async with container.lock:
            if not container.state.paused:
                raise EngineError(f"Container {container.id} is not paused")
            self._thaw(container)

    def wake_for(self, container: Container, number: int) -> None:
        """A signal was sent. To one that is paused it gets only when it goes on; Docker decides so for SIGKILL, for the
        stop signal that it was given, and for every signal if it was given none."""
        given = container.config.stop_signal
        wakes = not given or number in (signal.SIGKILL, validate.signal_number(given))
        if container.state.paused and wakes:
            self._thaw(container)

    def adopt(self, container: Container) -> None:
        """The daemon has come back to a running container, perhaps from between freezing one and recording it, or from
        a commit that nobody will end."""
        if container.state.held:
            self._thaw(container)
            return
        paused = self._group(container).frozen()
        if paused != container.state.paused:
            self._containers.save(container, replace(container.state, paused=paused))

    @staticmethod
    async def _until_still(container: Container, group: Cgroup) -> None:
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + FREEZE_LIMIT, 0.001
        while not group.stands_still():
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_LOOK)
            must_run(container)  # it may have come to its end meanwhile
            if loop.time() > deadline:
                group.thaw()
                raise EngineError(
                    f"cannot pause container {container.id}: a process in it does not stop within "
                    f"{FREEZE_LIMIT:.0f} seconds (it sleeps uninterruptibly?)"
                )

    def _thaw(self, container: Container) -> None:
        try:
            self._group(container).thaw()
        except OSError as error:
            raise EngineError(f"Cannot unpause container {container.id}: {error.strerror}") from None
        self._record(container, paused=False)

    def _record(self, container: Container, paused: bool, held: bool = False) -> None:
        self._save(container, paused, held)
        action = "pause" if paused else "unpause"
        self._events.publish("container", action, container.id, container.event_attributes())

    def _save(self, container: Container, paused: bool, held: bool) -> None:
        self._containers.save(container, replace(container.state, paused=paused, held=held))

    def _group(self, container: Container) -> Cgroup:
        return Cgroup(self._bundles.cgroup(container))


def must_run(container: Container) -> None:
    """Conflict, in Docker's words, for one that has no processes now."""
    if container.state.phase == "restarting":
        raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
    if container.state.phase != "running":
        raise Conflict(f"container {container.id} is not running")
