"""The life of a container as its daemon conducts it: starts here, and the parts that the rest of it is made of.

The truth about running is the shim's; these modules ask, wait with a limit, and record.
"""

from __future__ import annotations

import functools
import os

from msgspec.structs import replace

from hostagent.engine.background import Background
from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.events import EventBus
from hostagent.engine.files.containervolumes import ContainerVolumes
from hostagent.engine.files.mountedvolumes import MountedVolumes
from hostagent.engine.later import Later
from hostagent.engine.life import startfailure, waiting
from hostagent.engine.life.bundles import Bundles
from hostagent.engine.life.ends import Ends
from hostagent.engine.life.launcher import Launcher
from hostagent.engine.life.pausing import Pausing
from hostagent.engine.life.removing import Removing
from hostagent.engine.life.restarting import Restarting
from hostagent.engine.life.settling import settled
from hostagent.engine.life.shimlink import ShimLink
from hostagent.engine.life.shimnews import ShimNews
from hostagent.engine.life.starting import Starter, StartError
from hostagent.engine.life.stopping import Stopping
from hostagent.engine.networks.endpoints import Endpoints
from hostagent.engine.networks.resolvers import Resolvers
from hostagent.errors import Conflict, EngineError, NotModified
from hostagent.runtime import protocol


class Lifecycle:
    """All that changes a container's phase. `ends` and `news` are for who finds containers as a daemon left them."""

    def __init__(
        self,
        containers: Containers,
        launcher: Launcher,
        bundles: Bundles,
        endpoints: Endpoints,
        events: EventBus,
        later: Later,
        pausing: Pausing,
        volumes: ContainerVolumes,
        mounted: MountedVolumes,
        resolvers: Resolvers,
    ) -> None:
        self._containers = containers
        self._launcher = launcher
        self._events = events
        self._background = Background()
        self._starter = Starter(bundles, endpoints, mounted, self._launch)
        self._restarting = Restarting(containers, self._background, self._start)
        self.ends = Ends(
            containers,
            launcher,
            bundles,
            endpoints,
            events,
            later,
            mounted,
            resolvers,
            self._restarting,
            self.remove_soon,
        )
        self.news = ShimNews(
            containers,
            launcher,
            endpoints,
            events,
            pausing,
            mounted,
            resolvers,
            self.ends,
            self._background,
        )
        self._stopping = Stopping(containers, events, pausing, self._restarting)
        self._removing = Removing(
            containers, launcher, events, volumes, self.ends, self._stopping, self._restarting
        )
        self.stop = self._stopping.stop
        self.kill = self._stopping.kill
        self.remove = self._removing.remove
        self.start_by_policy = self._restarting.start_by_policy

    async def start(self, container: Container) -> None:
        """By a person's wish. NotModified when it runs; Invalid when the command cannot be run.

        One that was to be removed at its end is gone before a failure is told: clients ask for that first.
        """
        failure = await self._start_by_hand(container)
        if failure and container.host.auto_remove:
            await self.remove(container, force=True)
        if failure:
            raise failure

    async def _start_by_hand(self, container: Container) -> EngineError | OSError | None:
        async with container.lock:
            if container.removing:
                raise Conflict(f"container {container.id} is being removed")
            if container.state.paused:
                raise Conflict("cannot start a paused container, try unpause instead")
            if container.state.phase == "running":
                raise NotModified("container is already running")
            self._restarting.cancel(container)
            self._containers.save(
                container, replace(container.state, restarts=0, short_runs=0, stopped_by_hand=False)
            )
            try:
                await self._start(container)
            except (EngineError, OSError) as error:
                return error
        return None

    async def _start(self, container: Container) -> None:
        await settled(container)
        try:
            outcome = await self._starter.attempt(container)
            if isinstance(outcome, protocol.Started):
                return
            if isinstance(outcome, protocol.StartFailed):
                raise startfailure.error_of(outcome)
            raise StartError(
                "the container's shim ended before it could start it: see shim.log beside its config.json"
            )
        except (EngineError, OSError) as error:
            self.ends.release(container)
            await settled(container)
            await self.ends.end_group(container)  # a shim that was killed meanwhile may have left init in it
            self._not_started(container, error)
            raise

    def _launch(self, container: Container) -> ShimLink:
        link = self._launcher.launch(
            container.id,
            container.directory,
            functools.partial(self.news.on_message, container),
            functools.partial(self.news.undelivered, container),
        )
        self.news.watch_link(container, link)
        return link

    def _not_started(self, container: Container, error: EngineError | OSError) -> None:
        """Record why, and end those who wait for it: `docker run` attached and asked for the exit code beforehand."""
        code = error.exit_code if isinstance(error, startfailure.RefusedStart) else startfailure.START_ERROR
        if code == startfailure.START_ERROR:
            code = container.state.exit_code or code  # of the command's last end, if it told of an error
        phase = "exited" if container.state.started_ns else "created"
        self._containers.save(
            container, replace(container.state, phase=phase, exit_code=code, error=str(error))
        )
        for _, fd in container.pending:
            os.close(fd)
        container.pending.clear()
        waiting.start_failed(container, code)

    async def restart(self, container: Container, signal_text: str | None, timeout: int | None) -> None:
        """Stop if it runs, then start."""
        try:
            await self.stop(container, signal_text, timeout)
        except NotModified:
            pass
        try:
            await self.start(container)
        except NotModified:
            pass  # somebody was quicker
        self._events.publish("container", "restart", container.id, container.event_attributes())

    def remove_soon(self, container: Container) -> None:
        """As --rm wants it; nobody waits."""
        self._background.spawn(self.remove(container, force=True))

    async def close(self) -> None:
        """The daemon ends, containers go on: forget the links, stop waiting."""
        for container in self._containers.all():
            if container.link:
                link, container.link = container.link, None
                link.leave()
        await self._background.close()
