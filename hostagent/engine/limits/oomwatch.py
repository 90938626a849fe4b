"""Telling of it while a container runs on: the kernel killed one of its processes for lack of memory.

What happens at a container's end is in its exit record. Nothing is asked of a container that has memory enough.
"""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.events import EventBus
from hostagent.engine.life.bundles import Bundles
from hostagent.kernel.cgroup import Cgroup
from hostagent.kernel.oom_notice import OomNotices

SETTLE = 0.1
"""Seconds. A container that lives shorter is not watched at all; one at its limit, whose file changes all the time, is
looked at ten times a second."""
_ALL = ""
"""The timer that is no container's."""


class OomWatch:
    """Watches every running container; hears of starts and ends by their events."""

    def __init__(self, containers: Containers, bundles: Bundles, events: EventBus) -> None:
        self._containers = containers
        self._bundles = bundles
        self._events = events
        self._notices = OomNotices()
        self._told: dict[str, int] = {}
        """Kills that were told of, by container."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        events.observe(self._heed)

    def resume(self) -> None:
        """The daemon has started: all that run are watched. What was told before is not told anew."""
        self._listen()
        for container in self._containers.all():
            if container.state.phase == "running" and container.id not in self._timers:
                self._begin(container, self._group(container).oom_kills() if container.state.oom else 0)

    def close(self) -> None:
        """The daemon ends."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        asyncio.get_running_loop().remove_reader(self._notices.fd)
        self._notices.close()

    def _heed(self, action: str, container_id: str) -> None:
        if action == "start":
            loop = asyncio.get_running_loop()
            self._timers[container_id] = loop.call_later(SETTLE, self._settled, container_id)
        elif action == "die":
            if timer := self._timers.pop(container_id, None):
                timer.cancel()
            elif self._told.pop(container_id, None) is not None:
                self._notices.forget(container_id)

    def _settled(self, container_id: str) -> None:
        del self._timers[container_id]
        self._begin(self._containers.find(container_id), 0)

    def _begin(self, container: Container, told: int) -> None:
        self._told[container.id] = told
        self._notices.watch(container.id, self._group(container))
        self._look(container)

    def _listen(self) -> None:
        asyncio.get_running_loop().add_reader(self._notices.fd, self._noticed)

    def _noticed(self) -> None:
        """v1 tells of it before it kills and counts, and so we look a little later."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._notices.fd)
        self._timers[_ALL] = loop.call_later(SETTLE, self._look_around)

    def _look_around(self) -> None:
        del self._timers[_ALL]
        self._listen()
        for container_id in self._notices.heard() & self._told.keys():
            self._look(self._containers.find(container_id))

    def _look(self, container: Container) -> None:
        kills = self._group(container).oom_kills()
        if container.state.phase != "running" or kills <= self._told[container.id]:
            return
        self._told[container.id] = kills
        if not container.state.oom:
            self._containers.save(container, replace(container.state, oom=True))
        self._events.publish("container", "oom", container.id, container.event_attributes())

    def _group(self, container: Container) -> Cgroup:
        return Cgroup(self._bundles.cgroup(container))
