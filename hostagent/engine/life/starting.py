"""One start of a container: a shim is launched with its orders, and says how it went."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from hostagent.engine import validate
from hostagent.engine.container import Container
from hostagent.engine.files.mounts import StartingVolume
from hostagent.engine.life.bundles import Bundles
from hostagent.engine.life.shimlink import ShimLink
from hostagent.engine.logs import logdrivers
from hostagent.engine.networks.endpoint import Endpoint
from hostagent.engine.networks.endpoints import Endpoints
from hostagent.errors import EngineError
from hostagent.runtime import exitrecord, protocol
from hostagent.runtime.logplan import LogPlan

START_LIMIT = 60.0
"""Seconds for a shim to make a container; far above the milliseconds it takes, for hosts that are very busy."""

Launch = Callable[[Container], ShimLink]


class StartError(EngineError):
    """The runtime could not make the container: the host's or the engine's fault."""


class StartVolumes(Protocol):
    """What a start mounts beside the root; the block lasts until it has."""

    def mounting(self, container: Container) -> AbstractAsyncContextManager[tuple[StartingVolume, ...]]: ...

    def unmounted(self, container: Container) -> None: ...


class Starter:
    """Makes attempts; what follows from their outcome is the lifecycle's."""

    def __init__(self, bundles: Bundles, endpoints: Endpoints, volumes: StartVolumes, launch: Launch) -> None:
        self._bundles = bundles
        self._volumes = volumes
        self._endpoints = endpoints
        self._launch = launch

    async def attempt(self, container: Container) -> protocol.Message | None:
        """What its shim says; None when none was born. On errors nothing of the attempt is left."""
        log_plan = logdrivers.plan(container)
        exitrecord.remove(container.directory)
        container.execs.clear()
        endpoint = self._endpoints.prepare(container)
        try:
            async with self._volumes.mounting(container) as volumes:
                self._bundles.write(container, endpoint, volumes)
                outcome = await self._launched(container, endpoint, log_plan)
        except BaseException:
            if container.link:
                container.link.leave()
                container.link = None
            self._endpoints.release(container)
            self._volumes.unmounted(container)
            raise
        finally:
            container.begun = None
            for fd in endpoint.port_fds:
                os.close(fd)
        return outcome

    async def _launched(
        self, container: Container, endpoint: Endpoint, log: LogPlan
    ) -> protocol.Message | None:
        for attempt in (1, 2):
            container.begun = asyncio.get_running_loop().create_future()
            container.link = self._launch(container)
            _order(container, container.link, endpoint.port_fds, bool(endpoint.placed), log)
            outcome = await _outcome(container)
            # A launcher that died with our message in its hands: once more, with a new one (rule 2).
            if outcome is not None or attempt == 2:
                break
        return outcome


def _order(
    container: Container, link: ShimLink, port_fds: tuple[int, ...], await_network: bool, log: LogPlan
) -> None:
    """All that the shim needs is queued before it exists."""
    if port_fds:
        link.send(protocol.Keep(), [os.dup(fd) for fd in port_fds])
    # Taken before they are sent: what a dead launcher's link gives back at once waits for the next attempt.
    attachments, container.pending = container.pending, []
    waits, container.pending_waits = container.pending_waits, []
    for attach, fd in attachments:
        link.send(attach, [fd])
    for wait, fd in waits:
        link.send(wait, [fd])
    height, width = container.host.console_size
    link.send(
        protocol.Start(
            log=log.fields(),
            open_stdin=container.config.open_stdin,
            stdin_once=container.config.stdin_once,
            await_network=await_network,
            durable=not container.host.auto_remove,
            stop_signal=validate.signal_number(container.config.stop_signal or "SIGTERM"),
            height=height,
            width=width,
        )
    )


async def _outcome(container: Container) -> protocol.Message | None:
    """Started, StartFailed, or None when the shim was never born."""
    assert container.begun is not None and container.link is not None
    link = container.link
    either: set[asyncio.Future[Any]] = {container.begun, link.closed}
    await asyncio.wait(either, timeout=START_LIMIT, return_when=asyncio.FIRST_COMPLETED)
    if container.begun.done():
        return container.begun.result()
    if link.closed.done() and not link.heard:
        container.link = None
        return None
    raise StartError("the container's shim did not answer in time: see shim.log beside its config.json")
