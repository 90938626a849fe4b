"""What happens, told in order to whoever listens, with the last ones kept for `since`."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping

from hostagent.wire import Actor, Event

KEPT = 1024
QUEUE = 10_000
"""Events that may wait for one listener; one that is further behind is cut off rather than fed with gaps."""

Filters = Mapping[str, list[str]]
Observer = Callable[[str, str], None]
"""Takes the action and the container's ID."""


class EventBus:
    """In-process publish and subscribe; stamps are unique and increasing."""

    def __init__(self) -> None:
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._listeners: set[asyncio.Queue[Event | None]] = set()
        self._observers: list[Observer] = []
        self._last_ns = 0

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def observe(self, observer: Observer) -> None:
        """Call `observer` for each event about a container, at once and before any listener hears of it."""
        self._observers.append(observer)

    def publish(self, kind: str, action: str, actor_id: str, attributes: Mapping[str, str]) -> None:
        """Tell `action` ("start", "die", "exec_create: ls") of an object of type `kind` ("container", "image", ...)."""
        self._last_ns = stamp = max(time.time_ns(), self._last_ns + 1)
        if kind == "container":
            for observer in self._observers:
                observer(action, actor_id)
        legacy = kind in ("container", "image")
        event = Event(
            status=action if legacy else "",
            id=actor_id if legacy else "",
            image=attributes.get("image", "") if kind == "container" else "",
            type=kind,
            action=action,
            actor=Actor(id=actor_id, attributes=dict(attributes)),
            time=stamp // 1_000_000_000,
            time_nano=stamp,
        )
        self._kept.append(event)
        for queue in tuple(self._listeners):
            if queue.full():
                self._listeners.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    async def listen(self, since_ns: int, until_ns: int, filters: Filters) -> AsyncIterator[Event]:
        """Events from `since_ns` (0 = only new ones) to `until_ns` (0 = for ever) that pass the filters."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue(QUEUE)
        past = [event for event in self._kept if since_ns and event.time_nano >= since_ns]
        self._listeners.add(queue)
        try:
            for event in past:
                if until_ns and event.time_nano > until_ns:
                    return
                if matches(event, filters):
                    yield event
            while True:
                timeout = (until_ns - time.time_ns()) / 1e9 if until_ns else None
                if timeout is not None and timeout <= 0:
                    return
                try:
                    next_event = await asyncio.wait_for(queue.get(), timeout)
                except TimeoutError:
                    return
                if next_event is None:
                    return
                if matches(next_event, filters):
                    yield next_event
        finally:
            self._listeners.discard(queue)


def matches(event: Event, filters: Filters) -> bool:
    """Docker's rule: values of one key are alternatives, keys add up, labels all have to match."""
    attributes = event.actor.attributes
    for key, values in filters.items():
        match key:
            case "type":
                passed = event.type in values
            case "event":
                passed = any(
                    event.action == value or event.action.startswith(f"{value}:") for value in values
                )
            case "container" | "image" | "network" | "volume":
                names = (event.actor.id, attributes.get("name", ""))
                passed = (
                    event.type == key
                    and any(name == value or name.startswith(value) for name in names for value in values)
                ) or (key == "image" and attributes.get("image") in values)
            case "label":
                passed = all(_label_matches(attributes, value) for value in values)
            case "scope":
                passed = event.scope in values
            case _:
                passed = False
        if values and not passed:
            return False
    return True


def _label_matches(labels: Mapping[str, str], wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)
