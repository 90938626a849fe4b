"""What happens, told in order to whoever listens, with the last ones kept for `since`."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

from hostagent.errors import EngineError, Invalid
from hostagent.model.reference import Reference
from hostagent.wire import Actor, Event

KEPT = 256
"""As many as dockerd keeps for those who ask for the past."""
QUEUE = 10_000
"""Events that may wait for one listener; one that is further behind is cut off rather than fed with gaps."""

OBJECTS = ("container", "daemon", "plugin", "volume", "network", "node", "service", "secret", "config")
KNOWN = frozenset(("type", "scope", "event", "label", "image", *OBJECTS))
_PREFIXES = frozenset(("health_status", "exec_create", "exec_start"))

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

    async def listen(
        self, since_ns: int | None, until_ns: int | None, filters: Filters
    ) -> AsyncIterator[Event]:
        """Events that pass the filters: kept ones if a time is given, then new ones until `until_ns` or for ever."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue(QUEUE)
        asks_for_the_past = since_ns is not None or until_ns is not None
        past = [event for event in self._kept if asks_for_the_past and event.time_nano >= (since_ns or 0)]
        self._listeners.add(queue)
        try:
            for event in past:
                if until_ns is not None and event.time_nano > until_ns:
                    return
                if matches(event, filters):
                    yield event
            while True:
                timeout = (until_ns - time.time_ns()) / 1e9 if until_ns is not None else None
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


def check(filters: Filters) -> None:
    """Raise Invalid for a filter that there is not: dockerd lets everything pass then."""
    for key in filters:
        if key not in KNOWN:
            raise Invalid(f"invalid filter '{key}': events can be filtered by {', '.join(sorted(KNOWN))}")


def matches(event: Event, filters: Filters) -> bool:
    """Docker's rule: values of one key are alternatives, keys add up, labels all have to match."""
    return all(not values or _one(event, key, values) for key, values in filters.items())


def _one(event: Event, key: str, values: list[str]) -> bool:
    attributes = event.actor.attributes
    match key:
        case "type":
            return event.type in values
        case "scope":
            return event.scope in values
        case "event":
            # Actions that go on after a colon are asked for without it, and then all values are beginnings.
            if _PREFIXES.intersection(values):
                return any(event.action.startswith(value) for value in values)
            return event.action in values
        case "label":
            return all(_label_matches(attributes, value) for value in values)
        case "image":
            name = attributes.get("name" if event.type == "image" else "image", "")
            return any(each in values for each in _image_names(event.actor.id, name))
        case _:
            # A type of object: by the beginning of its ID or name, whatever the type of the event.
            names = (event.actor.id, attributes.get("name", ""))
            return any(name.startswith(value) for name in names for value in values)


def _image_names(*names: str) -> Iterator[str]:
    """Each name as it is, and without its tag."""
    for name in names:
        yield name
        try:
            yield Reference.parse(name).familiar_repository
        except EngineError:
            continue  # an ID


def _label_matches(labels: Mapping[str, str], wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)
