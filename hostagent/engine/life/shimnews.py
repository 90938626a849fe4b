"""What shims say of their containers, message by message, and what their silence means."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from msgspec.structs import replace

from hostagent.engine.background import Background
from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.events import EventBus
from hostagent.engine.files.mountedvolumes import MountedVolumes
from hostagent.engine.life import networkevents, waiting
from hostagent.engine.life.ends import Ends
from hostagent.engine.life.launcher import Launcher
from hostagent.engine.life.pausing import Pausing
from hostagent.engine.life.shimlink import ShimLink
from hostagent.engine.networks.endpoints import Endpoints
from hostagent.engine.networks.resolvers import Resolvers
from hostagent.errors import EngineError
from hostagent.runtime import exitrecord, protocol
from hostagent.runtime.program import EXEC_FAILED

SHIM_KILLED = "the container's shim was killed, and the container with it"

log = logging.getLogger(__name__)


class ShimNews:
    """Takes what comes on the shims' connections."""

    def __init__(
        self,
        containers: Containers,
        launcher: Launcher,
        endpoints: Endpoints,
        events: EventBus,
        pausing: Pausing,
        mounted: MountedVolumes,
        resolvers: Resolvers,
        ends: Ends,
        background: Background,
    ) -> None:
        self._containers = containers
        self._launcher = launcher
        self._endpoints = endpoints
        self._events = events
        self._pausing = pausing
        self._mounted = mounted
        self._resolvers = resolvers
        self._ends = ends
        self._background = background

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
                self._ends.exited(container, message)
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
        networkevents.publish(self._events, "connect", container)
        self._events.publish("container", "start", container.id, container.event_attributes())

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
            self._ends.exited(container, record)
        else:
            self._background.spawn(self._ends.lost(container, SHIM_KILLED))


def _answered(container: Container, message: protocol.Message, received: list[int]) -> None:
    """To who changes its network, if anybody still waits for that."""
    if container.answered and not container.answered.done():
        container.answered.set_result((message, received))
        return
    for fd in received:
        os.close(fd)
