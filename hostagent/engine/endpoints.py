"""A container's place on the network, joined from the network layer: lease, files, interface, ports."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import TypedDict

from hostagent.engine import ports
from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.state import PublishedPort
from hostagent.errors import Invalid
from hostagent.model.network import Interface, InterfaceJson, PortBinding
from hostagent.network.bridge import BridgeNetwork

_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")


class Facts(TypedDict):
    """Fields of State that tell where a running container is."""

    ip: str
    gateway: str
    mac: str
    ports: tuple[PublishedPort, ...]


@dataclass(frozen=True)
class Endpoint:
    """What a start needs: the interface (None without a bridge) and the bound sockets of ports, the caller's."""

    interface: Interface | None
    bindings: tuple[PortBinding, ...]
    port_fds: tuple[int, ...]


NOWHERE = Endpoint(None, (), ())


class Endpoints:
    """Leases and rules of containers on the default bridge; `none` and `host` need nothing."""

    def __init__(self, bridge: BridgeNetwork, containers: Containers) -> None:
        self._bridge = bridge
        self._containers = containers
        self._current: dict[str, Endpoint] = {}

    def prepare(self, container: Container) -> Endpoint:
        """Lease an address and bind the ports. Conflict when a port is taken; then nothing is kept."""
        if not _on_bridge(container):
            self._current[container.id] = NOWHERE
            return NOWHERE
        wanted = ports.parse_bindings(container.config, container.host)
        interface = self._bridge.allocate(container.id, _wanted_mac(container))
        bound: list[PortBinding] = []
        held: list[int] = []
        try:
            for binding in wanted:
                holder = self._bridge.reserve_port(binding)
                bound.append(replace(binding, host_port=holder.getsockname()[1], host_port_end=0))
                held.append(holder.detach())
        except BaseException:
            for fd in held:
                os.close(fd)
            self._bridge.release(container.id)
            raise
        endpoint = Endpoint(interface, tuple(bound), tuple(held))
        self._current[container.id] = endpoint
        return endpoint

    def connect(self, container: Container, netns: int) -> list[InterfaceJson]:
        """Put the interface into the container's namespace and publish its ports."""
        endpoint = self._current[container.id]
        if endpoint.interface is None:
            return []
        self._bridge.connect(container.id, endpoint.interface, netns)
        if endpoint.bindings:
            self._bridge.publish(container.id, endpoint.interface.ip, endpoint.bindings)
        return [endpoint.interface.to_json()]

    def facts(self, container: Container) -> Facts:
        """Where it is now, for its state."""
        endpoint = self._current[container.id]
        interface = endpoint.interface
        return Facts(
            ip=interface.addresses[0] if interface else "",
            gateway=(interface.gateway or "") if interface else "",
            mac=interface.mac if interface else "",
            ports=tuple(
                PublishedPort(binding.proto, binding.host_ip, binding.host_port, binding.container_port)
                for binding in endpoint.bindings
            ),
        )

    def release(self, container: Container) -> None:
        """Give everything back; what is gone already does not matter."""
        endpoint = self._current.pop(container.id, None)
        if _on_bridge(container):
            if endpoint is None or endpoint.bindings:
                self._bridge.unpublish(container.id)
            shared = any(guest.state.running for guest in self._containers.guests(container))
            self._bridge.disconnect(container.id, shared)
            self._bridge.release(container.id)

    def adopt(self, container: Container) -> None:
        """A container that ran on while the daemon was away has its lease and its ports still."""
        if not _on_bridge(container):
            self._current[container.id] = NOWHERE
            return
        interface = self._bridge.allocate(container.id)
        self._current[container.id] = Endpoint(interface, self._bridge.bindings(container.id), ())


def _on_bridge(container: Container) -> bool:
    return container.host.network_mode == "bridge" and not container.config.network_disabled


def _wanted_mac(container: Container) -> str | None:
    """`--mac-address`: of the endpoint since API 1.44, of the container before."""
    networking = container.config.networking_config
    endpoints = (networking.endpoints_config if networking else None) or {}
    asked = [settings.mac_address for settings in endpoints.values() if settings and settings.mac_address]
    return (asked[0] if asked else container.config.mac_address) or None


def check_mac(network: str, text: str) -> None:
    """`text` is empty or six octets in hexadecimal with colons. Raises Invalid in Docker's words."""
    if text and not _MAC.fullmatch(text):
        raise Invalid(f"invalid config for network {network}: invalid MAC address {text}")
