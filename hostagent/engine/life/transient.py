"""Processes in containers that are the engine's own: a step of a build. No row, no name, in no list.

What a killed daemon leaves of one is a directory without a row, which its successor kills and removes (rule 11).
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from msgspec.structs import replace

from hostagent.engine import validate
from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.files.mounts import Mounts, StartingVolume
from hostagent.engine.isolation import namespaces
from hostagent.engine.life import startfailure
from hostagent.engine.life.bundles import Bundles
from hostagent.engine.life.launcher import Launcher
from hostagent.engine.life.shimlink import ShimLink
from hostagent.engine.life.starting import Starter, StartError
from hostagent.engine.merge import complete
from hostagent.engine.networks.endpoints import Endpoints
from hostagent.errors import EngineError, Unsupported
from hostagent.image.trees import remove_tree
from hostagent.model.image import Image
from hostagent.network.network import PREDEFINED
from hostagent.runtime import protocol
from hostagent.wire import ContainerCreate, HostConfig, LogConfig

log = logging.getLogger(__name__)

END_LIMIT = 30.0


@dataclass(frozen=True)
class Task:
    """What to run on which files. `layers`: directories, the top one first; `base` gives what the body leaves open."""

    body: ContainerCreate
    base: Image
    layers: tuple[str, ...]
    mounts: Mounts = field(default_factory=Mounts)
    volumes: tuple[StartingVolume, ...] = ()


class Transients:
    """Runs tasks, each in a directory of its own, whose `upper` holds what has changed."""

    def __init__(
        self, containers: Containers, bundles: Bundles, endpoints: Endpoints, launcher: Launcher
    ) -> None:
        self._containers = containers
        self._endpoints = endpoints
        self._launcher = launcher
        self._volumes: dict[str, tuple[StartingVolume, ...]] = {}
        self._exits: dict[str, asyncio.Future[int]] = {}
        self._starter = Starter(bundles, endpoints, self, self._launch)

    @asynccontextmanager
    async def directory(self) -> AsyncIterator[str]:
        """A new container's directory, gone when the block ends."""
        path = self._containers.directory(secrets.token_hex(32))
        Bundles.make(path)
        try:
            yield path
        finally:
            await asyncio.to_thread(remove_tree, os.fsencode(path))

    async def run(self, directory: str, task: Task, output: int) -> int:
        """The exit code of the process. All that it says goes to the stream socket `output` (taken over), framed.

        Raises Invalid for what cannot be executed. Cancelled: the process is killed first.
        """
        container = self._container(directory, task)
        self._volumes[container.id] = task.volumes
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._exits[container.id] = ended
        container.pending.append(
            (protocol.Attach(stdin=False, stdout=True, stderr=True, multiplexed=True), output)
        )
        try:
            outcome = await self._starter.attempt(container)
            if isinstance(outcome, protocol.StartFailed):
                raise startfailure.error_of(outcome)
            if not isinstance(outcome, protocol.Started):
                raise StartError("the shim of a build's step ended before it could start it")
            return await ended
        finally:
            await self._end(container)

    @staticmethod
    def _container(directory: str, task: Task) -> Container:
        container_id = os.path.basename(directory)
        mode = validate.network_mode(task.body.host_config or HostConfig())
        if mode not in PREDEFINED and not mode.startswith(namespaces.CONTAINER):
            raise Unsupported(
                f"building on the network {mode} is not built yet in this engine: use bridge, host or none"
            )
        config = complete(task.body, task.base, container_id)
        assert config.host_config is not None
        host = replace(config.host_config, log_config=LogConfig(type="none"), auto_remove=True)
        return Container(
            id=container_id,
            name=container_id[:12],
            created_ns=time.time_ns(),
            image_id=task.base.id,
            config=replace(config, host_config=host),
            directory=directory,
            mounts=task.mounts,
            lowerdirs=task.layers,
        )

    async def _end(self, container: Container) -> None:
        """Whatever happened: the process is dead, and everything that was made for it is undone."""
        for _, fd in container.pending:
            os.close(fd)
        link = container.link
        if link is not None:
            if not link.closed.done():
                link.send(protocol.Signal(signal.SIGKILL))
            await asyncio.shield(asyncio.wait({link.closed}, timeout=END_LIMIT))
        self._endpoints.release(container)
        self._launcher.forget(container.id)
        self._volumes.pop(container.id, None)
        self._exits.pop(container.id, None)

    def _launch(self, container: Container) -> ShimLink:
        def heard(link: ShimLink, message: protocol.Message, received: list[int]) -> None:
            self._heard(container, link, message, received)

        link = self._launcher.launch(container.id, container.directory, heard, _undelivered)
        link.closed.add_done_callback(lambda _: self._closed(container, link))
        return link

    def _heard(
        self, container: Container, link: ShimLink, message: protocol.Message, received: Sequence[int]
    ) -> None:
        match message:
            case protocol.NetnsReady():
                self._connect(container, link, received[0])
            case protocol.Started() | protocol.StartFailed():
                if container.begun and not container.begun.done():
                    container.begun.set_result(message)
            case protocol.Exit():
                self._ended(container, message.code)
            case _:
                log.error("step %s: unexpected %s", container.id[:12], type(message).__name__)

    def _connect(self, container: Container, link: ShimLink, netns: int) -> None:
        try:
            link.send(protocol.Network(self._endpoints.connect(container, netns)))
        except (OSError, EngineError) as error:
            if container.begun and not container.begun.done():
                container.begun.set_exception(error)
        finally:
            os.close(netns)

    def _closed(self, container: Container, link: ShimLink) -> None:
        """A shim that ends without a word was killed, and its container with it (rule 10)."""
        if container.link is link:
            self._ended(container, 128 + signal.SIGKILL)

    def _ended(self, container: Container, code: int) -> None:
        ended = self._exits.get(container.id)
        if ended and not ended.done():
            ended.set_result(code)

    # -- the starter's volumes

    @asynccontextmanager
    async def mounting(self, container: Container) -> AsyncIterator[tuple[StartingVolume, ...]]:
        yield self._volumes.get(container.id, ())

    def unmounted(self, container: Container) -> None:
        """Nothing is told of them."""


def _undelivered(message: protocol.Message, passed: Sequence[int]) -> None:
    for fd in passed:
        os.close(fd)
