"""Networks as the API has them: list, create, inspect, remove, prune. Joining them is connections.py's."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

from msgspec.structs import replace

from hostagent import wire
from hostagent.engine.containers import Containers
from hostagent.engine.events import EventBus
from hostagent.engine.networks import joined
from hostagent.engine.networks.joined import network_id
from hostagent.engine.timestamps import timestamp
from hostagent.errors import Denied, Invalid, NotFound
from hostagent.model.moment import parse_moment
from hostagent.network import filters
from hostagent.network.bridges import Bridges
from hostagent.network.network import PREDEFINED, Network

Filters = dict[str, list[str]]


class Networks:
    """The predefined networks and those of users; one that a running container is on is not removed."""

    def __init__(self, bridges: Bridges, containers: Containers, events: EventBus, bridge_name: str) -> None:
        self._bridges = bridges
        self._containers = containers
        self._events = events
        self._bridge_name = bridge_name
        self._started = timestamp(time.time_ns())

    def list(self, filters_: Filters) -> Sequence[wire.Network]:
        """Without their containers, as Docker's list is."""
        every = [*self._predefined(), *(_wire(each) for each in self._bridges.all())]
        used = frozenset(
            each.network_id
            for container in self._containers.all()
            if container.state.running
            for each in joined.of(container)
        )
        return filters.select(every, filters_, used)

    def inspect(self, reference: str) -> wire.Network:
        """With the containers that run on it. NotFound in Docker's words."""
        found = self._find(reference)
        return replace(found, containers=self._on(found.id))

    def _find(self, reference: str) -> wire.Network:
        predefined = self._predefined()
        for each in predefined:
            if reference in (each.id, each.name):
                return each
        try:
            return _wire(self._bridges.find(reference))
        except NotFound:
            matching = [each for each in predefined if reference and each.id.startswith(reference)]
            if len(matching) == 1:
                return matching[0]
            raise

    def create(self, body: wire.NetworkCreate) -> wire.NetworkCreated:
        """Errors in Docker's words; then nothing was made."""
        made = self._bridges.create(body, secrets.token_hex(32), time.time_ns())
        self._publish("create", made)
        return wire.NetworkCreated(id=made.id)

    def remove(self, reference: str) -> None:
        """Denied for a predefined one and for one with running containers; others that name it may stay."""
        found = self._find(reference)
        if found.name in PREDEFINED:
            raise Denied(f"{found.name} is a pre-defined network and cannot be removed")
        if self._held(found.id):
            raise Denied(
                f"error while removing network: network {found.name} id {found.id} has active endpoints"
            )
        self._remove(self._bridges.find(found.id))

    def _remove(self, doomed: Network) -> None:
        self._bridges.remove(doomed)
        self._publish("destroy", doomed)

    def prune(self, filters_: Filters) -> wire.NetworksPruned:
        """Remove those of users that no running container is on."""
        filters.check_prune(filters_)
        until = filters_.get("until", ())
        if len(until) > 1:
            raise Invalid("more than one until filter specified")
        before = parse_moment(until[0], time.time_ns()) if until else None
        removed = []
        for each in self._bridges.all():
            if self._held(each.id) or not filters.labelled(each.labels, filters_):
                continue
            if before is not None and each.created_ns > before:
                continue
            self._remove(each)
            removed.append(each.name)
        self._events.publish("network", "prune", "", {"reclaimed": "0"})
        return wire.NetworksPruned(networks_deleted=removed or None)

    def _held(self, network: str) -> bool:
        """A container that is about to start holds it too: its addresses are taken."""
        return bool(self._bridges.bridge(network).holders())

    def _publish(self, action: str, network: Network) -> None:
        self._events.publish("network", action, network.id, {"name": network.name, "type": network.driver})

    def _on(self, network: str) -> dict[str, wire.EndpointResource]:
        return {
            container.id: joined.resource(container, each)
            for container in self._containers.all()
            if container.state.running
            for each in joined.of(container)
            if each.network_id == network
        }

    def _predefined(self) -> Sequence[wire.Network]:
        default = self._bridges.default
        subnet = wire.IPAMConfig(subnet=str(default.subnet), gateway=default.gateway)
        options = {
            "com.docker.network.bridge.default_bridge": "true",
            "com.docker.network.bridge.enable_icc": "true",
            "com.docker.network.bridge.enable_ip_masquerade": "true",
            "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",  # noqa: S104 - shown, not bound
            "com.docker.network.bridge.name": self._bridge_name,
            "com.docker.network.driver.mtu": str(default.mtu),
        }
        rows: tuple[tuple[str, str, wire.IPAM, dict[str, str]], ...] = (
            ("bridge", "bridge", wire.IPAM(config=[subnet]), options),
            ("host", "host", wire.IPAM(), {}),
            ("none", "null", wire.IPAM(), {}),
        )
        return [
            wire.Network(
                name=name,
                id=network_id(name),
                created=self._started,
                driver=driver,
                ipam=ipam,
                options=options,
                labels={},
            )
            for name, driver, ipam, options in rows
        ]


def _wire(network: Network) -> wire.Network:
    ipam = network.ipam
    for version in (4, 6):
        block = network.block(version)
        if block and not block.chosen:
            found = wire.IPAMConfig(subnet=block.subnet, gateway=block.gateway)
            ipam = replace(ipam, config=[*(ipam.config or ()), found])
    return wire.Network(
        name=network.name,
        id=network.id,
        created=timestamp(network.created_ns),
        ipam=replace(ipam, driver=ipam.driver or "default"),
        driver=network.driver,
        enable_ipv6=network.ipv6 is not None,
        internal=network.internal,
        attachable=network.attachable,
        options=network.options or {},
        labels=network.labels or {},
    )
