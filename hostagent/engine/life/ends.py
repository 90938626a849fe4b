"""The end of a container's run: recorded once, with what it held let go, and then its policy decides.

The truth about it is its shim's record; where there is none, it was killed together with its shim.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from msgspec.structs import replace

from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.events import EventBus
from hostagent.engine.files.mountedvolumes import MountedVolumes
from hostagent.engine.later import Later
from hostagent.engine.life import networkevents, restarts, waiting
from hostagent.engine.life.bundles import Bundles
from hostagent.engine.life.launcher import Launcher
from hostagent.engine.life.restarting import Restarting
from hostagent.engine.networks.endpoints import Endpoints
from hostagent.engine.networks.resolvers import Resolvers
from hostagent.kernel.cgroup import Cgroup
from hostagent.runtime import exitrecord, protocol

log = logging.getLogger(__name__)


class Ends:
    """Records ends."""

    def __init__(
        self,
        containers: Containers,
        launcher: Launcher,
        bundles: Bundles,
        endpoints: Endpoints,
        events: EventBus,
        later: Later,
        mounted: MountedVolumes,
        resolvers: Resolvers,
        restarting: Restarting,
        remove_soon: Callable[[Container], None],
    ) -> None:
        self._containers = containers
        self._launcher = launcher
        self._bundles = bundles
        self._endpoints = endpoints
        self._events = events
        self._later = later
        self._mounted = mounted
        self._resolvers = resolvers
        self._restarting = restarting
        self._remove_soon = remove_soon

    def exited(self, container: Container, record: protocol.Exit, error: str = "") -> None:
        """Record an end once, free what it held, and let the restart policy decide."""
        state = container.state
        if state.phase not in ("running", "created", "restarting"):
            return
        self.release(container)
        for execution in container.execs.values():
            if execution.begun is not None and execution.exit_code is None:
                execution.end(record.code)  # the kernel killed it with the container
        again = not container.removing and restarts.wanted(container.host.restart_policy, state, record.code)
        ended = replace(
            state,
            phase="restarting" if again else "exited",
            paused=False,
            held=False,
            pid=0,
            exit_code=record.code,
            oom=record.oom or state.oom,
            error=error,
            started_ns=record.started_ns or state.started_ns,
            finished_ns=record.finished_ns,
            restarts=state.restarts + 1 if again else state.restarts,
            short_runs=restarts.streak(state, record.started_ns or state.started_ns, record.finished_ns),
            ip="",
            gateway="",
            mac="",
            attached=(),
            ports=(),
        )
        self._containers.save(container, ended)
        if record.oom and not state.oom:  # else it was told when it happened
            self._events.publish("container", "oom", container.id, container.event_attributes())
        seconds = max(0, (record.finished_ns - ended.started_ns) // 1_000_000_000)
        self._events.publish(
            "container",
            "die",
            container.id,
            container.event_attributes(exitCode=str(record.code), execDuration=str(seconds)),
        )
        networkevents.publish(self._events, "disconnect", container)
        waiting.ended(container, record.code)
        if again:
            self._restarting.start_in(container, restarts.delay(ended))
        elif container.host.auto_remove and not container.removing:
            self._remove_soon(container)

    def missed(self, container: Container, record: protocol.Exit) -> None:
        """It ended while there was no daemon, which perhaps never heard that it had started."""
        container.state = replace(container.state, phase="running", started_ns=record.started_ns)
        self.exited(container, record)

    async def lost(self, container: Container, reason: str, code: int = 137) -> None:
        """No shim and no record: end what may be left, and say so."""
        await self.end_group(container)
        self._launcher.forget(container.id)
        now = time.time_ns()
        record = protocol.Exit(code, False, container.state.started_ns, now, exitrecord.boot_id())
        self.exited(container, record, reason)

    def release(self, container: Container) -> None:
        """What it holds only while it runs: names, volumes, addresses and ports."""
        self._resolvers.stop(container)
        self._mounted.unmounted(container)
        self._later.run("release", container.id, lambda: self._endpoints.release(container))

    async def end_group(self, container: Container) -> None:
        """Kill what may be left of a container whose shim is gone. What does not die keeps its group."""
        cgroup = Cgroup(self._bundles.cgroup(container))
        if not cgroup.exists():
            return
        try:
            await asyncio.to_thread(cgroup.end)
        except OSError as error:
            log.error("container %s: its cgroup stays: %s", container.id[:12], error)
