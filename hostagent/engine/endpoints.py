"""A container's place on its networks, joined from the network layer: leases, interfaces, ports."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import TypedDict

from hostagent.engine import joined, ports
from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.joined import Attached, Joined
from hostagent.engine.state import PublishedPort
from hostagent.errors import EngineError, NotFound
from hostagent.model.network import Interface, InterfaceJson, PortBinding
from hostagent.network.bridge import BridgeNetwork
from hostagent.network.bridges import Bridges
from hostagent.network.network import Network


class Facts(TypedDict):
    """Fields of State that tell where a running container is."""

    ip: str
    gateway: str
    mac: str
    attached: tuple[Attached, ...]
    ports: tuple[PublishedPort, ...]


@dataclass(frozen=True)
class Placed:
    """An interface on a bridge; `network` is None for the default one."""

    network: Network | None
    bridge: BridgeNetwork
    interface: Interface

    @property
    def order(self) -> tuple[bool, str]:
        """The first has the default route and the published ports (Docker's rule), unless it is internal."""
        return self.internal, self.network.name if self.network else joined.BRIDGE

    @property
    def internal(self) -> bool:
        return self.network is not None and self.network.internal


@dataclass(frozen=True)
class Endpoint:
    """What a start needs: interfaces (in order) and the bound sockets of ports, the caller's."""

    placed: tuple[Placed, ...] = ()
    bindings: tuple[PortBinding, ...] = ()
    port_fds: tuple[int, ...] = ()
    host_gateway: str | None = None
    """What `--add-host NAME:host-gateway` means: the host, on the default bridge."""

    @property
    def legacy(self) -> Interface | None:
        """That on the default bridge."""
        return next((each.interface for each in self.placed if each.network is None), None)

    @property
    def outward(self) -> Placed | None:
        """The way out: it has the default route and the published ports."""
        return self.placed[0] if self.placed and not self.placed[0].internal else None

    @property
    def resolver(self) -> bool:
        """Names are answered on users' networks only."""
        return any(each.network is not None for each in self.placed)

    @property
    def addresses(self) -> list[str]:
        return [each.interface.ip for each in self.placed]

    def interfaces(self) -> list[InterfaceJson]:
        """For the container's init: only the first has a gateway."""
        way = self.outward
        return [
            (each.interface if each is way else replace(each.interface, gateway=None)).to_json()
            for each in self.placed
        ]


NOWHERE = Endpoint()


class Endpoints:
    """Leases and rules of containers on bridges; `none` and `host` need nothing."""

    def __init__(self, bridges: Bridges, containers: Containers) -> None:
        self._bridges = bridges
        self._containers = containers
        self._current: dict[str, Endpoint] = {}

    def current(self, container: Container) -> Endpoint:
        """Of a container that runs."""
        return self._current.get(container.id, NOWHERE)

    def prepare(self, container: Container) -> Endpoint:
        """Lease addresses and bind the ports. Conflict when a port is taken; then nothing is kept."""
        wanted = self._wanted(container)
        if not wanted:
            self._current[container.id] = NOWHERE
            return NOWHERE
        placed: list[Placed] = []
        try:
            for at, (network, each) in enumerate(wanted):
                placed.append(self.place(container, network, each, f"eth{at}"))
            bound, held = self.bind(container, placed[0])
        except BaseException:
            for done in placed:
                done.bridge.release(container.id)
            raise
        endpoint = Endpoint(tuple(placed), bound, held, self._bridges.default.gateway)
        self._current[container.id] = endpoint
        return endpoint

    def _wanted(self, container: Container) -> list[tuple[Network | None, Joined | None]]:
        """What it is to be on, in order; None for the default bridge. NotFound when a network is gone."""
        if container.networks is None:
            return [(None, None)] if joined.on_default_bridge(container) else []
        if container.config.network_disabled:
            return []
        found: list[tuple[Network | None, Joined | None]] = []
        for each in container.networks:
            if not each.predefined:
                found.append((self._network(each), each))
            elif each.name == joined.BRIDGE:
                found.append((None, each))
        return sorted(
            found, key=lambda pair: (pair[0].internal, pair[0].name) if pair[0] else (False, joined.BRIDGE)
        )

    def _network(self, each: Joined) -> Network:
        """By its ID, or one that has got its name since."""
        try:
            return self._bridges.find(each.network_id)
        except NotFound:
            return self._bridges.find(each.name)

    def place(self, container: Container, network: Network | None, asked: Joined | None, name: str) -> Placed:
        """Lease an address there. Denied in Docker's words when the wanted one is another's."""
        if network is None:
            bridge = self._bridges.default
            return Placed(None, bridge, bridge.allocate(container.id, _wanted_mac(container), name))
        bridge = self._bridges.bridge(network.id)
        settings = asked.settings if asked else None
        ipam = settings.ipam_config if settings else None
        address = IPv4Address(ipam.ipv4_address) if ipam and ipam.ipv4_address else None
        mac = (settings.mac_address if settings else "") or _main_mac(container, network)
        return Placed(network, bridge, bridge.allocate(container.id, mac or None, name, address))

    def bind(self, container: Container, first: Placed) -> tuple[tuple[PortBinding, ...], tuple[int, ...]]:
        """Hold the host's ports for a container whose first network is this one; nothing on an internal one."""
        bound: list[PortBinding] = []
        held: list[int] = []
        if first.internal:
            return (), ()
        address = first.network.binding if first.network else ""
        try:
            for binding in ports.parse_bindings(container.config, container.host):
                if address and binding.host_ip == "":
                    binding = replace(binding, host_ip=address)
                holder = first.bridge.reserve_port(binding)
                bound.append(replace(binding, host_port=holder.getsockname()[1], host_port_end=0))
                held.append(holder.detach())
        except BaseException:
            for fd in held:
                os.close(fd)
            raise
        return tuple(bound), tuple(held)

    def connect(self, container: Container, netns: int) -> list[InterfaceJson]:
        """Put the interfaces into the container's namespace and publish its ports."""
        endpoint = self._current[container.id]
        for placed in endpoint.placed:
            placed.bridge.connect(container.id, placed.interface, netns)
        if endpoint.bindings and endpoint.outward:
            endpoint.outward.bridge.publish(container.id, endpoint.outward.interface.ip, endpoint.bindings)
        return endpoint.interfaces()

    def changed(self, container: Container, endpoint: Endpoint) -> None:
        """It runs on other networks from now on."""
        self._current[container.id] = endpoint

    def facts(self, container: Container) -> Facts:
        """Where it is now, for its state."""
        return facts(self._current[container.id])

    def release(self, container: Container) -> None:
        """Give everything back; what is gone already does not matter."""
        endpoint = self._current.pop(container.id, None)
        if endpoint is not None:
            bridges = [each.bridge for each in endpoint.placed]
        elif joined.on_default_bridge(container):
            bridges = [self._bridges.default]
        else:
            bridges = []
        for bridge in bridges:
            self.withdraw(container, bridge)

    def withdraw(self, container: Container, bridge: BridgeNetwork) -> None:
        """Take it off one bridge."""
        bridge.unpublish(container.id)
        shared = any(guest.state.running for guest in self._containers.guests(container))
        bridge.disconnect(container.id, shared)
        bridge.release(container.id)

    def adopt(self, container: Container) -> None:
        """A container that ran on while the daemon was away has its leases and its ports still."""
        placed: list[Placed] = []
        if container.state.ip or (container.networks is None and joined.on_default_bridge(container)):
            bridge = self._bridges.default
            placed.append(Placed(None, bridge, bridge.allocate(container.id)))
        for each in container.state.attached:
            try:
                network = self._bridges.find(each.network_id)
            except EngineError:
                continue  # its row was lost in a power cut
            bridge = self._bridges.bridge(network.id)
            placed.append(Placed(network, bridge, bridge.allocate(container.id, None, each.interface)))
        placed.sort(key=lambda each: each.order)
        bindings = tuple(binding for each in placed for binding in each.bridge.bindings(container.id))
        self._current[container.id] = Endpoint(tuple(placed), bindings, ())


def facts(endpoint: Endpoint) -> Facts:
    """An endpoint as State tells of it."""
    legacy, bindings = endpoint.legacy, endpoint.bindings
    return Facts(
        ip=legacy.addresses[0] if legacy else "",
        gateway=(legacy.gateway or "") if legacy else "",
        mac=legacy.mac if legacy else "",
        attached=attached(endpoint.placed),
        ports=tuple(
            PublishedPort(binding.proto, binding.host_ip, binding.host_port, binding.container_port)
            for binding in bindings
        ),
    )


def attached(placed: Sequence[Placed]) -> tuple[Attached, ...]:
    """Those on users' networks, for the state."""
    return tuple(
        Attached(
            network_id=each.network.id,
            interface=each.interface.name,
            ip=each.interface.addresses[0],
            gateway="" if each.internal else each.interface.gateway or "",
            mac=each.interface.mac,
        )
        for each in placed
        if each.network is not None
    )


def _wanted_mac(container: Container) -> str | None:
    """`--mac-address`: of the endpoint since API 1.44, of the container before."""
    networking = container.config.networking_config
    endpoints = (networking.endpoints_config if networking else None) or {}
    asked = [settings.mac_address for settings in endpoints.values() if settings and settings.mac_address]
    return (asked[0] if asked else container.config.mac_address) or None


def _main_mac(container: Container, network: Network) -> str:
    """The container's own, which is for the network that its mode names."""
    return container.config.mac_address if container.host.network_mode in (network.name, network.id) else ""
