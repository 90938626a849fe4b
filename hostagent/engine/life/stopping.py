"""Stop and kill: signals to a container, and the wait for its end."""

from __future__ import annotations

import asyncio
import signal

from msgspec.structs import replace

from hostagent.engine import validate
from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.events import EventBus
from hostagent.engine.life import shims, waiting
from hostagent.engine.life.pausing import Pausing
from hostagent.engine.life.restarting import Restarting
from hostagent.errors import Conflict, EngineError, NotModified
from hostagent.runtime import protocol

KILL_LIMIT = 10.0
DEFAULT_STOP_TIMEOUT = 10


class Stopping:
    """Ends runs."""

    def __init__(
        self, containers: Containers, events: EventBus, pausing: Pausing, restarting: Restarting
    ) -> None:
        self._containers = containers
        self._events = events
        self._pausing = pausing
        self._restarting = restarting

    async def stop(self, container: Container, signal_text: str | None, timeout: int | None) -> None:
        """The stop signal, `timeout` seconds (-1: for ever), then SIGKILL. NotModified when it does not run."""
        if container.state.phase == "restarting":
            self._restarting.cancel(container)
            self._containers.save(container, replace(container.state, phase="exited", stopped_by_hand=True))
            waiting.start_failed(container, container.state.exit_code)
            return
        if container.state.phase != "running":
            raise NotModified("container is already stopped")
        number = validate.signal_number(signal_text or container.config.stop_signal or "SIGTERM")
        if timeout is None:
            timeout = container.config.stop_timeout
        if timeout is None:
            timeout = DEFAULT_STOP_TIMEOUT
        await self.end(container, number, timeout)
        self._events.publish("container", "stop", container.id, container.event_attributes())

    async def end(self, container: Container, number: int, timeout: float) -> None:
        """Signal `number`, `timeout` seconds (below 0: for ever), SIGKILL. EngineError when not even that ends it."""
        ended = waiting.exit_future(container)
        self._by_hand(container)
        self._signal(container, number)
        await asyncio.wait({ended}, timeout=None if timeout < 0 else timeout)
        if not ended.done():
            if number != signal.SIGKILL:
                self._signal(container, signal.SIGKILL)
            await asyncio.wait({ended}, timeout=KILL_LIMIT)
        if not ended.done():
            # Its shim does not do as it is told (stopped, say): without it, the container is ours to end.
            shims.end(container.directory)
            await asyncio.wait({ended}, timeout=KILL_LIMIT)
        if not ended.done():
            raise EngineError(
                f"container {container.id} does not end although it was killed (a process in uninterruptible sleep?)"
            )

    async def kill(self, container: Container, signal_text: str) -> None:
        """Send a signal. Conflict when it does not run."""
        number = validate.signal_number(signal_text or "SIGKILL")
        if container.state.phase != "running":
            raise Conflict(f"container {container.id} is not running")
        stop_signal = validate.signal_number(container.config.stop_signal or "SIGTERM")
        ended = waiting.exit_future(container)
        if number in (signal.SIGKILL, stop_signal):
            self._by_hand(container)
        self._signal(container, number)
        if number == signal.SIGKILL:
            await asyncio.wait({ended}, timeout=KILL_LIMIT)

    def _by_hand(self, container: Container) -> None:
        self._containers.save(container, replace(container.state, stopped_by_hand=True))

    def _signal(self, container: Container, number: int) -> None:
        if container.link:
            container.link.send(protocol.Signal(number))
        self._events.publish(
            "container", "kill", container.id, container.event_attributes(signal=str(number))
        )
        self._pausing.wake_for(container, number)
