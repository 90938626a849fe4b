"""When health checks run, and what is told of their results.

One timer per watched container in the event loop's heap, none in the shims: an idle daemon with a thousand healthy
containers wakes only for checks that are due. Nothing runs while the daemon is down; the next one begins anew with
"starting", as dockerd does after a live restore.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time

from msgspec.structs import replace

from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.events import EventBus
from hostagent.engine.execs import Execs
from hostagent.engine.watch import healthcheck, probe
from hostagent.engine.watch.healthcheck import HealthState, Result
from hostagent.errors import EngineError, NotFound
from hostagent.wire import HealthConfig

log = logging.getLogger(__name__)

PARALLEL = max(4, 2 * (os.cpu_count() or 1))
SLOT_SECONDS = 1.0
"""A check that takes longer gives its slot to the next: those that hang do not keep others from being looked at."""
NOT_RUN = -1
KILLED = 128 + signal.SIGKILL
LAST_BREATH = 0.2
"""Seconds: the kernel ends a check (or refuses it) a moment before its container's end is known: no ill health."""


class Health:
    """Watches every running container that has a check; hears of starts, pauses and ends by their events."""

    def __init__(self, containers: Containers, execs: Execs, events: EventBus) -> None:
        self._containers = containers
        self._execs = execs
        self._events = events
        self._slots = asyncio.Semaphore(PARALLEL)
        self._watches: dict[str, asyncio.TimerHandle | asyncio.Task[None]] = {}
        events.observe(self._heed)

    def resume(self) -> None:
        """The daemon has started: all that run are watched again."""
        for container in self._containers.all():
            if container.state.phase == "running" and not container.state.paused:
                self._begin(container)

    def close(self) -> None:
        """The daemon ends: no further checks, and those under way are of no use to anybody."""
        for watch in self._watches.values():
            watch.cancel()
        self._watches.clear()

    def _heed(self, action: str, container_id: str) -> None:
        if action not in ("start", "unpause", "pause", "die"):
            return
        try:
            container = self._containers.find(container_id)
        except NotFound:
            return
        match action:
            case "start":
                self._begin(container)
            case "unpause":
                self._watch(container)
            case "pause":
                self._stop(container)
            case _:
                if self._stop(container):
                    # `exited` has written the row already; what it says of the health is for `inspect` for ever.
                    self._containers.write(container)

    def _begin(self, container: Container) -> None:
        if healthcheck.command(container.config):
            self._put(container, healthcheck.begun(container.state.health))
            self._watch(container)

    def _stop(self, container: Container) -> bool:
        """Whether it was watched."""
        watch = self._watches.pop(container.id, None)
        if watch is None:
            return False
        watch.cancel()
        if container.state.health:
            self._put(container, healthcheck.stopped(container.state.health))
        return True

    def _watch(self, container: Container) -> None:
        """The next check, after its pause."""
        state, config = container.state, container.config.healthcheck
        if state.health is None or config is None or state.paused:
            return
        if before := self._watches.pop(container.id, None):
            before.cancel()
        seconds = healthcheck.pause(state.health, config, time.time_ns() - state.started_ns)
        self._watches[container.id] = asyncio.get_running_loop().call_later(seconds, self._due, container)

    def _due(self, container: Container) -> None:
        task = asyncio.create_task(self._check(container))
        task.add_done_callback(_checked)
        self._watches[container.id] = task

    async def _check(self, container: Container) -> None:
        """One check and what follows from it; cancelled when the container ends or is paused meanwhile."""
        config = container.config.healthcheck
        assert config is not None
        run: asyncio.Task[Result] | None = None
        try:
            async with self._slots:
                run = asyncio.create_task(self._run(container, config))
                await asyncio.wait({run}, timeout=SLOT_SECONDS)
            result = await run
            if result.exit_code in (KILLED, NOT_RUN):
                await asyncio.sleep(LAST_BREATH)
            self._note(container, result, config)
        finally:
            if run is not None and not run.done():
                run.cancel()
        del self._watches[container.id]
        self._watch(container)

    async def _run(self, container: Container, config: HealthConfig) -> Result:
        started = time.time_ns()
        command = healthcheck.command(container.config)
        try:
            return await probe.run(self._execs, container, command, config.timeout or healthcheck.TIMEOUT)
        except (EngineError, OSError) as error:
            log.warning("health check of container %s: %s", container.id[:12], error)
            return Result(started, time.time_ns(), -1, str(error))

    def _note(self, container: Container, result: Result, config: HealthConfig) -> None:
        before = container.state.health
        assert before is not None
        now = healthcheck.after(before, result, config, container.state.started_ns)
        self._put(container, now)
        if now.status != before.status:
            action = f"health_status: {now.status}"
            self._events.publish("container", action, container.id, container.event_attributes())

    @staticmethod
    def _put(container: Container, health: HealthState) -> None:
        """In memory; it gets to the disk with whatever is written next."""
        container.state = replace(container.state, health=health)


def _checked(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("a health check failed in the daemon", exc_info=error)
