"""A container's place on its networks, joined from the network layer: leases, interfaces, ports."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.networks import endpointoptions, joined, ports
from hostagent.engine.networks.endpoint import NOWHERE, Endpoint, Facts, Placed, facts, next_name, order
from hostagent.engine.networks.joined import Joined
from hostagent.errors import EngineError, Invalid, NotFound, Unsupported
from hostagent.model.network import ANY_ADDRESS6, Interface, InterfaceJson, PortBinding
from hostagent.network import hostsettings
from hostagent.network.bridges import Bridges
from hostagent.network.driver import Driver
from hostagent.network.network import Network
from hostagent.network.relay import Relays, Way
from hostagent.wire import EndpointIPAMConfig

log = logging.getLogger(__name__)


class Endpoints:
    """Leases and rules of containers on bridges; `none` and `host` need nothing."""

    def __init__(self, bridges: Bridges, containers: Containers, relays: Relays) -> None:
        self._bridges = bridges
        self._relays = relays
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
            for network, each in wanted:
                placed.append(self.place(container, network, each, next_name(network, placed)))
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
        return sorted(found, key=lambda pair: order(pair[0]))

    def publishing_bridge(self, container: Container) -> str | None:
        """The name of the bridge that its ports would lead to; None when they lead nowhere."""
        for network, _ in self._wanted(container)[:1]:
            if network is None:
                return self._bridges.default_name
            if not network.internal and self._bridges.bridge(network.id).publishes:
                return network.bridge
        return None

    def _network(self, each: Joined) -> Network:
        """By its ID, or one that has got its name since."""
        try:
            return self._bridges.find(each.network_id)
        except NotFound:
            return self._bridges.find(each.name)

    def place(self, container: Container, network: Network | None, asked: Joined | None, name: str) -> Placed:
        """Lease an address there. Denied in Docker's words when the wanted one is another's."""
        settings = asked.settings if asked else joined.only(container)
        ipam = settings.ipam_config or EndpointIPAMConfig()
        link_local = [_link_local(text) for text in ipam.link_local_ips]
        bridge: Driver
        if network is None:
            bridge = self._bridges.default
            interface = bridge.allocate(container.id, _wanted_mac(container), name, link_local=link_local)
        else:
            bridge = self._bridges.bridge(network.id)
            address = IPv4Address(ipam.ipv4_address) if ipam.ipv4_address else None
            address6 = IPv6Address(ipam.ipv6_address) if ipam.ipv6_address else None
            mac = settings.mac_address or _main_mac(container, network) or None
            interface = bridge.allocate(container.id, mac, name, address, address6, link_local)
        sysctls = endpointoptions.sysctls(settings.driver_opts or {}, name)
        return Placed(network, bridge, replace(interface, sysctls=sysctls))

    def bind(self, container: Container, first: Placed) -> tuple[tuple[PortBinding, ...], tuple[int, ...]]:
        """Hold the host's ports for a container whose first network is this one; nothing on an internal one."""
        bound: list[PortBinding] = []
        held: list[int] = []
        if first.internal or not first.bridge.publishes:
            return (), ()
        address = first.network.binding if first.network else ""
        try:
            for binding in ports.parse_bindings(container.config, container.host):
                wanted = [replace(binding, host_ip=address) if binding.host_ip == "" else binding]
                reached = bool(first.interface.cidr6) or binding.proto == "tcp"
                if binding.host_ip == "" and not address and reached and hostsettings.has_ipv6():
                    wanted.append(replace(binding, host_ip=ANY_ADDRESS6))
                if binding.ipv6 and not reached:
                    raise Unsupported(
                        f"{binding.proto} port {binding.container_port} cannot be published on {binding.shown_host}: "
                        "the container has no IPv6 address on its network: give an IPv4 address, or use a network "
                        "with --ipv6"
                    )
                for each, holder in zip(wanted, first.bridge.reserve_port(*wanted), strict=True):
                    bound.append(replace(each, host_port=holder.getsockname()[1], host_port_end=0))
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
            self.publish(container, endpoint.outward, endpoint.bindings)
        return endpoint.interfaces()

    def changed(self, container: Container, endpoint: Endpoint) -> None:
        """It runs on other networks from now on."""
        self._current[container.id] = endpoint

    def facts(self, container: Container) -> Facts:
        """Where it is now, for its state."""
        return facts(self._current[container.id])

    def release(self, container: Container) -> None:
        """Give everything back; what is gone already does not matter."""
        self._relays.close(container.id)
        endpoint = self._current.pop(container.id, None)
        if endpoint is not None:
            bridges = [each.bridge for each in endpoint.placed]
        elif joined.on_default_bridge(container):
            bridges = [self._bridges.default]
        else:
            bridges = []
        for bridge in bridges:
            self.withdraw(container, bridge)

    def publish(self, container: Container, way: Placed, bindings: Sequence[PortBinding]) -> None:
        """Send ports of the host to its interface on that network."""
        interface = way.interface
        way.bridge.publish(container.id, interface.ip, bindings, interface.cidr6.partition("/")[0])
        try:
            self._relay(container, interface, bindings)
        except OSError as error:
            raise EngineError(f"cannot listen on the host's IPv6 addresses: {error.strerror}") from error

    def _relay(self, container: Container, interface: Interface, bindings: Sequence[PortBinding]) -> None:
        """What nftables cannot translate."""
        ip6 = interface.cidr6.partition("/")[0]
        ways = [
            Way((binding.host_ip, binding.host_port), (ip6 or interface.ip, binding.container_port))
            for binding in bindings
            if binding.ipv6
            and binding.proto == "tcp"
            and (not ip6 or binding.host_ip in (ANY_ADDRESS6, "::1"))
        ]
        if ways:
            self._relays.open(container.id, ways)

    def unpublish(self, container: Container, bridge: Driver) -> None:
        """Its ports lead there no more."""
        bridge.unpublish(container.id)
        self._relays.close(container.id)

    def withdraw(self, container: Container, bridge: Driver, alive: bool = False) -> None:
        """Take it off one bridge; `alive`: it goes on without."""
        bridge.unpublish(container.id)
        shared = alive or any(guest.state.running for guest in self._containers.guests(container))
        bridge.disconnect(container.id, shared)
        bridge.release(container.id)

    def adopt(self, container: Container) -> None:
        """A container that ran on while the daemon was away has its leases and its ports still."""
        placed: list[Placed] = []
        bridge: Driver
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
        endpoint = Endpoint(tuple(placed), bindings, ())
        self._current[container.id] = endpoint
        if endpoint.outward:
            try:
                self._relay(container, endpoint.outward.interface, bindings)
            except OSError as error:
                log.error("container %s: its IPv6 ports are not served: %s", container.id[:12], error)


def _link_local(text: str) -> str:
    """As CIDR, as Docker sets it."""
    address = ip_address(text)
    if not address.is_link_local:
        raise Invalid(f"invalid link local IP address: {text}")
    return f"{address}/{16 if address.version == 4 else 64}"


def _wanted_mac(container: Container) -> str | None:
    """`--mac-address`: of the endpoint since API 1.44, of the container before."""
    networking = container.config.networking_config
    endpoints = (networking.endpoints_config if networking else None) or {}
    asked = [settings.mac_address for settings in endpoints.values() if settings and settings.mac_address]
    return (asked[0] if asked else container.config.mac_address) or None


def _main_mac(container: Container, network: Network) -> str:
    """The container's own, which is for the network that its mode names."""
    return container.config.mac_address if container.host.network_mode in (network.name, network.id) else ""
