"""After a start of the daemon: what was asked (SQLite) meets what happened (the directories, the locks).

The truth table of design.md, rule 11:

    row  directory  lock   exit record
    yes  no                             delete the row
    no   yes                            kill what may run, remove the directory
    yes  yes        held                connect to the shim; it knows the rest
    yes  yes        free   yes          it ended while we were away: ingest
    yes  yes        free   no           said to run: the shim was killed, or the host rebooted: 137
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
from collections.abc import Iterable
from typing import Any

from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.execs import Execs
from hostagent.engine.life import shims
from hostagent.engine.life.bundles import Bundles
from hostagent.engine.life.launcher import Launcher
from hostagent.engine.life.lifecycle import Lifecycle
from hostagent.engine.life.shimlink import ShimLink
from hostagent.engine.life.shimnews import SHIM_KILLED
from hostagent.engine.networks.endpoints import Endpoints
from hostagent.image.trees import remove_tree
from hostagent.kernel.cgroup import Cgroup
from hostagent.runtime import exitrecord, protocol

log = logging.getLogger(__name__)

HELLO_LIMIT = 10.0
UNLOCK_TRIES = 200
"""Of 50 ms each."""
REBOOTED = 255
"""Exit code of a container that ran when its host went down, as dockerd records it."""


class Reconciler:
    """Runs once, before the API answers."""

    def __init__(
        self,
        containers: Containers,
        lifecycle: Lifecycle,
        launcher: Launcher,
        bundles: Bundles,
        endpoints: Endpoints,
        execs: Execs,
        directory: str,
    ) -> None:
        self._containers = containers
        self._lifecycle = lifecycle
        self._ends = lifecycle.ends
        self._news = lifecycle.news
        self._launcher = launcher
        self._bundles = bundles
        self._endpoints = endpoints
        self._execs = execs
        self._directory = directory

    async def run(self) -> None:
        """Every container is then either connected, or not running."""
        os.makedirs(self._directory, mode=0o710, exist_ok=True)
        known = {container.id: container for container in self._containers.all()}
        for name in os.listdir(self._directory):
            if name not in known:
                await self._remove_stray(name)
        asked = []
        for container in known.values():
            if not os.path.isdir(container.directory):
                log.warning("container %s has lost its directory: forgotten", container.id[:12])
                self._containers.remove(container)
                continue
            asked.append(self._one(container))
        await asyncio.gather(*asked)
        await self._end_groups(known.values())
        self._launcher.forget_others(each.id for each in known.values() if each.link is not None)

    async def _end_groups(self, containers: Iterable[Container]) -> None:
        """No process of a container without a shim goes on: the shim may have died before it told anybody of it."""
        groups = {self._bundles.cgroup(each): each.link for each in containers}
        alone = {path for path, link in groups.items() if link is None and Cgroup(path).exists()}
        for path in alone | self._bundles.groups() - groups.keys():
            await self._end_group(path)

    async def _end_group(self, path: str) -> None:
        try:
            await asyncio.to_thread(Cgroup(path).end)
        except OSError as error:
            log.error("the cgroup %s stays: %s", path, error)

    async def _remove_stray(self, name: str) -> None:
        directory = f"{self._directory}/{name}"
        shims.end(directory)
        if path := self._bundles.cgroup_written(directory):
            await self._end_group(path)
        self._launcher.forget(name)
        await asyncio.to_thread(remove_tree, os.fsencode(directory))

    async def _one(self, container: Container) -> None:
        if shims.lock_held(container.directory) and await self._reconnect(container):
            return
        state = container.state
        record = exitrecord.read(container.directory)
        if record and record.finished_ns != state.finished_ns:
            # Of a run whose end, perhaps also whose beginning, no daemon has heard.
            self._ends.missed(container, record)
        elif state.phase == "running":
            await self._lost(container)
        elif state.phase == "exited" and container.host.auto_remove:
            self._lifecycle.remove_soon(container)

    async def _lost(self, container: Container) -> None:
        born = shims.certificate(container.directory).get("boot_id")
        if born is not None and born != exitrecord.boot_id():
            await self._ends.lost(container, "", REBOOTED)
        else:
            await self._ends.lost(container, SHIM_KILLED)

    async def _reconnect(self, container: Container) -> bool:
        """Whether its shim lives and says that it runs."""
        status: asyncio.Future[protocol.Status] = asyncio.get_running_loop().create_future()

        def first(link: ShimLink, message: protocol.Message, received: list[int]) -> None:
            if isinstance(message, protocol.Status):
                if not status.done():
                    status.set_result(message)
            else:
                self._news.on_message(container, link, message, received)

        try:
            undelivered = functools.partial(self._news.undelivered, container)
            link = self._launcher.reconnect(container.id, first, undelivered)
        except OSError:
            await self._until_unlocked(container)
            return False
        link.send(protocol.Hello())
        either: set[asyncio.Future[Any]] = {status, link.closed}
        await asyncio.wait(either, timeout=HELLO_LIMIT, return_when=asyncio.FIRST_COMPLETED)
        if not status.done() or status.result().phase != "running":
            if status.done():
                # Ended, or never finished its start: it goes away by itself, and its record says how it was.
                await asyncio.wait({link.closed}, timeout=HELLO_LIMIT)
            elif shims.end(container.directory):
                log.warning("the shim of container %s did not answer: killed", container.id[:12])
            link.leave()
            await self._until_unlocked(container)
            return False
        self._adopt(container, link, status.result())
        return True

    def _adopt(self, container: Container, link: ShimLink, status: protocol.Status) -> None:
        container.link = link
        link.version = status.version
        self._endpoints.adopt(container)
        self._news.adopt(container, status)
        self._news.watch_link(container, link)
        self._execs.adopt(container, status.execs)

    @staticmethod
    async def _until_unlocked(container: Container) -> None:
        """A shim that no longer listens is on its way out; one that stays (stopped, say) is killed."""
        for attempt in range(UNLOCK_TRIES):
            if not shims.lock_held(container.directory):
                return
            if attempt == UNLOCK_TRIES // 2 and shims.end(container.directory):
                log.warning("the shim of container %s did not answer: killed", container.id[:12])
            await asyncio.sleep(0.05)
