"""Docker's `network` events of a container."""

from __future__ import annotations

from hostagent.engine.container import Container
from hostagent.engine.events import EventBus
from hostagent.engine.networks import joined


def publish(events: EventBus, action: str, container: Container) -> None:
    """`connect` or `disconnect`, once for each network that it is on."""
    for each in joined.of(container):
        attributes = {"container": container.id, "name": each.name, "type": each.driver}
        events.publish("network", action, each.network_id, attributes)
