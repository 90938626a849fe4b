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
import fcntl
import functools
import json
import logging
import os
from typing import Any

from hostagent.engine import restarts
from hostagent.engine.bundles import Bundles
from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.endpoints import Endpoints
from hostagent.engine.execs import Execs
from hostagent.engine.launcher import Launcher
from hostagent.engine.lifecycle import Lifecycle
from hostagent.engine.shimlink import ShimLink
from hostagent.image.trees import remove_tree
from hostagent.kernel.cgroup import Cgroup
from hostagent.runtime import exitrecord, protocol

log = logging.getLogger(__name__)

HELLO_LIMIT = 10.0


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
                self._remove_stray(name)
        for container in known.values():
            if not os.path.isdir(container.directory):
                log.warning("container %s has lost its directory: forgotten", container.id[:12])
                self._containers.remove(container)
                continue
            await self._one(container)

    def start_by_policy(self) -> None:
        """What the restart policies want after a daemon's start."""
        for container in self._containers.all():
            if container.state.phase in ("exited", "restarting") and restarts.wanted_at_boot(
                container.host.restart_policy, container.state
            ):
                self._lifecycle.revive(container)

    def _remove_stray(self, name: str) -> None:
        directory = f"{self._directory}/{name}"
        if lock_held(directory) and (path := self._bundles.cgroup_written(directory)):
            Cgroup(path).kill()
        self._launcher.forget(name)
        remove_tree(os.fsencode(directory))

    async def _one(self, container: Container) -> None:
        if lock_held(container.directory) and await self._reconnect(container):
            return
        state = container.state
        record = exitrecord.read(container.directory)
        if record and record.started_ns >= state.started_ns and state.phase != "exited":
            self._lifecycle.exited(container, record)
        elif state.phase == "running":
            self._lifecycle.lost(container, self._reason(container))
        elif state.phase == "exited" and container.host.auto_remove:
            self._lifecycle.spawn(self._lifecycle.remove(container, force=True))

    @staticmethod
    def _reason(container: Container) -> str:
        try:
            with open(f"{container.directory}/lock") as file:
                born = json.load(file)["boot_id"]
        except (OSError, ValueError, KeyError):
            born = ""
        if born and born != exitrecord.boot_id():
            return "the host was restarted while the container ran"
        return "the container's shim was killed, and the container with it"

    async def _reconnect(self, container: Container) -> bool:
        """Whether its shim lives and says that it runs."""
        status: asyncio.Future[protocol.Status] = asyncio.get_running_loop().create_future()

        def first(link: ShimLink, message: protocol.Message, received: list[int]) -> None:
            if isinstance(message, protocol.Status):
                if not status.done():
                    status.set_result(message)
            else:
                self._lifecycle.on_message(container, link, message, received)

        try:
            undelivered = functools.partial(self._lifecycle.undelivered, container)
            link = self._launcher.reconnect(container.id, first, undelivered)
        except OSError:
            await self._until_unlocked(container)
            return False
        link.send(protocol.Hello())
        either: set[asyncio.Future[Any]] = {status, link.closed}
        await asyncio.wait(either, timeout=HELLO_LIMIT, return_when=asyncio.FIRST_COMPLETED)
        if not status.done() or status.result().phase != "running":
            # Ended, or never finished its start: it goes away by itself, and its record says how it was.
            await asyncio.wait({link.closed}, timeout=HELLO_LIMIT)
            link.leave()
            return False
        self._adopt(container, link, status.result())
        return True

    def _adopt(self, container: Container, link: ShimLink, status: protocol.Status) -> None:
        container.link = link
        self._endpoints.adopt(container)
        self._lifecycle.adopt(container, status)
        self._lifecycle.watch_link(container, link)
        self._execs.adopt(container, status.execs)

    @staticmethod
    async def _until_unlocked(container: Container) -> None:
        """A shim that no longer listens is on its way out."""
        for _ in range(100):
            if not lock_held(container.directory):
                return
            await asyncio.sleep(0.05)


def lock_held(directory: str) -> bool:
    """Whether a shim lives there."""
    try:
        fd = os.open(f"{directory}/lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
