"""Start, stop, exit, restart, remove: the life of a container as its daemon conducts it.

The truth about running is the shim's; this module asks, waits with a limit, and records.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import time
from collections.abc import Coroutine, Sequence

from msgspec.structs import replace

from hostagent.engine import joined, restarts, shims, startfailure, validate, waiting
from hostagent.engine.bundles import Bundles
from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.containervolumes import ContainerVolumes
from hostagent.engine.endpoints import Endpoints
from hostagent.engine.events import EventBus
from hostagent.engine.later import Later
from hostagent.engine.launcher import Launcher
from hostagent.engine.mountedvolumes import MountedVolumes
from hostagent.engine.pausing import Pausing
from hostagent.engine.resolvers import Resolvers
from hostagent.engine.shimlink import ShimLink
from hostagent.engine.starting import Starter, StartError
from hostagent.errors import Conflict, EngineError, Invalid, NotModified
from hostagent.image.trees import remove_tree
from hostagent.kernel.cgroup import Cgroup
from hostagent.runtime import exitrecord, protocol
from hostagent.runtime.program import EXEC_FAILED

log = logging.getLogger(__name__)

SHIM_END_LIMIT = 10.0
LET_GO_LIMIT = 1.0
KILL_LIMIT = 10.0
DEFAULT_STOP_TIMEOUT = 10
_STOP_FIRST = ": stop the container before removing or force remove"


class Lifecycle:
    """All that changes a container's phase."""

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
        self._later = later
        self._launcher = launcher
        self._bundles = bundles
        self._endpoints = endpoints
        self._events = events
        self._pausing = pausing
        self._volumes = volumes
        self._mounted = mounted
        self._resolvers = resolvers
        self._starter = Starter(bundles, endpoints, mounted, self._launch)
        self._background: set[asyncio.Task[None]] = set()
        self._restarts_held = True
        """Until the network is reconciled: what is to be started again waits for `start_by_policy`."""

    # -- start

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
            self.cancel_restart(container)
            await self._settled(container)
            self._containers.save(
                container, replace(container.state, restarts=0, short_runs=0, stopped_by_hand=False)
            )
            try:
                await self._start(container)
            except (EngineError, OSError) as error:
                return error
        return None

    async def _start(self, container: Container) -> None:
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
            self._release(container)
            await self._settled(container)
            await self._end_group(container)  # a shim that was killed meanwhile may have left init in it
            self._not_started(container, error)
            raise

    def _release(self, container: Container) -> None:
        self._resolvers.stop(container)
        self._mounted.unmounted(container)
        self._later.run("release", container.id, lambda: self._endpoints.release(container))

    async def _end_group(self, container: Container) -> None:
        """Kill what may be left of a container whose shim is gone. What does not die keeps its group."""
        cgroup = Cgroup(self._bundles.cgroup(container))
        if not cgroup.exists():
            return
        try:
            await asyncio.to_thread(cgroup.end)
        except OSError as error:
            log.error("container %s: its cgroup stays: %s", container.id[:12], error)

    def _launch(self, container: Container) -> ShimLink:
        link = self._launcher.launch(
            container.id,
            container.directory,
            functools.partial(self.on_message, container),
            functools.partial(self.undelivered, container),
        )
        self.watch_link(container, link)
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

    # -- what shims say

    def on_message(
        self, container: Container, link: ShimLink, message: protocol.Message, received: list[int]
    ) -> None:
        """Every message of a container's shim, in order."""
        match message:
            case protocol.Rewired() | protocol.NetnsReady() if container.begun is None:
                _answered(container, message, received)
            case protocol.NetnsReady():
                self._netns_ready(container, link, received[0])
            case protocol.Resolver():
                self._resolvers.take(container, received)
            case protocol.Started():
                self._now_running(container, message)
                if container.begun and not container.begun.done():
                    container.begun.set_result(message)
            case protocol.StartFailed():
                if container.begun and not container.begun.done():
                    container.begun.set_result(message)
            case protocol.Waiting(removed):
                waiting.give_back(container, removed, received)
            case protocol.Exit():
                self.exited(container, message)
            case protocol.ExecStarted() | protocol.ExecFailed() | protocol.ExecExit():
                self._exec_news(container, message)
            case protocol.Detached():
                self._events.publish("container", "detach", container.id, container.event_attributes())
            case _:
                log.error("container %s: unexpected %s", container.id[:12], type(message).__name__)

    def undelivered(self, container: Container, message: protocol.Message, passed: Sequence[int]) -> None:
        """Its shim was gone before it could take this. A client that waits is answered, one that is attached to a start
        goes to the shim of the next attempt, others see their stream end."""
        if isinstance(message, protocol.Await):
            waiting.give_back(container, message.removed, passed)
            return
        if isinstance(message, protocol.Attach) and container.begun and not container.begun.done():
            container.pending += [(message, fd) for fd in passed]
            return
        for fd in passed:
            os.close(fd)

    def _netns_ready(self, container: Container, link: ShimLink, netns: int) -> None:
        try:
            interfaces = self._endpoints.connect(container, netns)
        except (OSError, EngineError) as error:
            if container.begun and not container.begun.done():
                container.begun.set_exception(error)
            return
        finally:
            os.close(netns)
        link.send(protocol.Network(interfaces, self._endpoints.current(container).resolver))

    def _now_running(self, container: Container, message: protocol.Started) -> None:
        self._containers.save(
            container,
            replace(
                container.state,
                phase="running",
                pid=message.pid,
                started_ns=message.started_ns,
                exit_code=0,
                oom=False,
                error="",
                **self._endpoints.facts(container),
            ),
        )
        self._resolvers.serve(container)
        for warning in message.warnings:
            log.warning("container %s: %s", container.id[:12], warning)
        self._tell_networks("connect", container)
        self._events.publish("container", "start", container.id, container.event_attributes())

    def _tell_networks(self, action: str, container: Container) -> None:
        for each in joined.of(container):
            attributes = {"container": container.id, "name": each.name, "type": each.driver}
            self._events.publish("network", action, each.network_id, attributes)

    def _exec_news(
        self, container: Container, message: protocol.ExecStarted | protocol.ExecFailed | protocol.ExecExit
    ) -> None:
        execution = container.execs.get(message.exec_id)
        if execution is None:
            return
        match message:
            case protocol.ExecStarted():
                execution.pid = message.pid
            case protocol.ExecFailed():
                execution.end(EXEC_FAILED)
            case protocol.ExecExit():
                execution.end(message.code)
                self._events.publish(
                    "container",
                    "exec_die",
                    container.id,
                    container.event_attributes(execID=message.exec_id, exitCode=str(message.code)),
                )
        if execution.begun and not execution.begun.done():
            execution.begun.set_result(message)

    # -- the end

    def exited(self, container: Container, record: protocol.Exit, error: str = "") -> None:
        """Record an end once, free what it held, and let the restart policy decide."""
        state = container.state
        if state.phase not in ("running", "created", "restarting"):
            return
        self._release(container)
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
        self._tell_networks("disconnect", container)
        waiting.ended(container, record.code)
        if again:
            self._restart_in(container, restarts.delay(ended))
        elif container.host.auto_remove and not container.removing:
            self.spawn(self.remove(container, force=True))

    def start_by_policy(self) -> None:
        """What the restart policies want after a daemon's start; from now on they act at once. As in Docker the count
        of restarts begins anew, and `always` forgets that it was stopped by hand."""
        self._restarts_held = False
        for container in self._containers.all():
            state = container.state
            if state.phase == "restarting" or (
                state.phase == "exited" and restarts.wanted_at_boot(container.host.restart_policy, state)
            ):
                self._containers.save(
                    container,
                    replace(state, phase="restarting", restarts=0, short_runs=0, stopped_by_hand=False),
                )
                self._restart_in(container, 0)

    def _restart_in(self, container: Container, seconds: float) -> None:
        if self._restarts_held:
            return
        container.restart = asyncio.create_task(self._restart_later(container, seconds))
        container.restart.add_done_callback(self._spawned_done)

    async def _restart_later(self, container: Container, seconds: float) -> None:
        """Start it after a pause; what stands in the way for now (a port, a dying launcher) is tried again, later and
        later. A command that cannot be run never will: then it stays down."""
        while True:
            await asyncio.sleep(seconds)
            async with container.lock:
                if container.state.phase != "restarting" or container.removing:
                    return
                container.restart = None
                try:
                    await self._settled(container)
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

    def cancel_restart(self, container: Container) -> None:
        """Somebody decided otherwise while it waited for its next start."""
        if container.restart:
            container.restart.cancel()
            container.restart = None
            if container.state.phase == "restarting":
                self._containers.save(container, replace(container.state, phase="exited"))

    async def _settled(self, container: Container) -> None:
        """Until helpers in the files of the last run are gone, and its shim, or it has let go of its folder (a client
        that is attached and does not read keeps it for longer): the folder is then ours."""
        if container.visits:
            await asyncio.wait(container.visits)
        link = container.link
        if link is None:
            return
        await asyncio.wait({link.closed}, timeout=LET_GO_LIMIT)
        deadline = time.monotonic() + SHIM_END_LIMIT
        while not link.closed.done() and shims.lock_held(container.directory):
            if time.monotonic() > deadline:
                shims.end(container.directory)
                deadline += SHIM_END_LIMIT
            await asyncio.wait({link.closed}, timeout=0.1)
        link.leave()
        container.link = None

    # -- stop, kill

    async def stop(self, container: Container, signal_text: str | None, timeout: int | None) -> None:
        """The stop signal, `timeout` seconds (-1: for ever), then SIGKILL. NotModified when it does not run."""
        if container.state.phase == "restarting":
            self.cancel_restart(container)
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
        await self._end(container, number, timeout)
        self._events.publish("container", "stop", container.id, container.event_attributes())

    async def _end(self, container: Container, number: int, timeout: float) -> None:
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

    # -- remove

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
            self.cancel_restart(container)
            for visit in container.visits:
                visit.cancel()
            async with container.lock:
                if container.state.phase == "running":
                    await self._end(container, signal.SIGKILL, 0)
                await self._settled(container)
                await self._end_group(container)
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

    # -- a shim that died, a daemon that comes and ends

    def adopt(self, container: Container, status: protocol.Status) -> None:
        """It ran on while the daemon was away; perhaps the daemon never heard that it had started."""
        self._mounted.adopt(container)
        if container.state.phase != "running" or container.state.started_ns != status.started_ns:
            self._now_running(container, protocol.Started(status.pid, status.started_ns, []))
        self._pausing.adopt(container)

    def watch_link(self, container: Container, link: ShimLink) -> None:
        """A shim that ends without an exit was killed: so is its container (rule 10)."""
        link.closed.add_done_callback(lambda _: self._link_closed(container, link))

    def _link_closed(self, container: Container, link: ShimLink) -> None:
        if container.link is not link:
            return
        self._launcher.forget(container.id)
        if container.state.phase != "running":
            return
        record = exitrecord.read(container.directory)
        if record:
            self.exited(container, record)
        else:
            self.spawn(self.lost(container, "the container's shim was killed, and the container with it"))

    def missed(self, container: Container, record: protocol.Exit) -> None:
        """It ended while there was no daemon, which perhaps never heard that it had started."""
        container.state = replace(container.state, phase="running", started_ns=record.started_ns)
        self.exited(container, record)

    async def lost(self, container: Container, reason: str, code: int = 137) -> None:
        """No shim and no record: end what may be left, and say so."""
        await self._end_group(container)
        self._launcher.forget(container.id)
        now = time.time_ns()
        record = protocol.Exit(code, False, container.state.started_ns, now, exitrecord.boot_id())
        self.exited(container, record, reason)

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """A task of the daemon's own; its failure is logged, there is nobody else to tell."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._spawned_done)

    def _spawned_done(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("background work failed", exc_info=error)

    async def close(self) -> None:
        """The daemon ends, containers go on: forget the links, stop waiting."""
        for container in self._containers.all():
            if container.restart:
                container.restart.cancel()
            if container.link:
                link, container.link = container.link, None
                link.leave()
        for task in tuple(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)


def _answered(container: Container, message: protocol.Message, received: list[int]) -> None:
    """To who changes its network, if anybody still waits for that."""
    if container.answered and not container.answered.done():
        container.answered.set_result((message, received))
        return
    for fd in received:
        os.close(fd)
