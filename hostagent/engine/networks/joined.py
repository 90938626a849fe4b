"""Which networks a container is on, and how the API shows that. Pure.

Most containers are on the one that their network mode names, and nothing is stored for them. Once one is on others it
has a list, in which a user's network is found by its ID and shown by its name.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from hostagent.network.network import PREDEFINED
from hostagent.wire import EndpointResource, EndpointSettings

if TYPE_CHECKING:
    from hostagent.engine.container import Container

BRIDGE = "bridge"


class Joined(msgspec.Struct, frozen=True, omit_defaults=True):
    """A network that a container is on, running or not, and what was asked for there."""

    network_id: str
    name: str
    settings: EndpointSettings = EndpointSettings()
    kind: str = "bridge"
    """The driver of a user's network."""

    @property
    def predefined(self) -> bool:
        return self.name in PREDEFINED

    @property
    def driver(self) -> str:
        return {"host": "host", "none": "null"}.get(self.name, self.kind)


class Attached(msgspec.Struct, frozen=True, omit_defaults=True):
    """An interface of a running container on a user's network; `ip` is CIDR, `gateway` "" without one."""

    network_id: str
    interface: str
    ip: str
    gateway: str
    mac: str
    ip6: str = ""
    """CIDR; "" without IPv6."""
    gateway6: str = ""


def network_id(name: str) -> str:
    """The predefined networks have no ID of chance: the name, in hexadecimal, filled up to 64 digits."""
    return name.encode().hex().ljust(64, "0")


def endpoint_id(container_id: str, network: str) -> str:
    """Of a container on a user's network."""
    return hashlib.sha256(f"{container_id}{network}".encode()).hexdigest()


def of(container: Container) -> tuple[Joined, ...]:
    """All of them; none for one that uses another container's network."""
    if container.networks is not None:
        return container.networks
    mode = container.host.network_mode
    return (Joined(network_id(mode), mode, only(container)),) if mode in PREDEFINED else ()


def only(container: Container) -> EndpointSettings:
    """What was asked for on the one network of a container without a list."""
    networking = container.config.networking_config
    endpoints = (networking.endpoints_config if networking else None) or {}
    return endpoints.get(container.host.network_mode) or endpoints.get("default") or EndpointSettings()


def on_default_bridge(container: Container) -> bool:
    """Whether it has, or is to have, an interface there."""
    if container.config.network_disabled:
        return False
    if container.networks is None:
        return container.host.network_mode == BRIDGE
    return any(each.name == BRIDGE for each in container.networks)


def dns_names(container: Container, settings: EndpointSettings) -> list[str]:
    """What it is called on a user's network; the first one is what its address is called."""
    hostname = [container.config.hostname] if container.config.hostname else []
    return list(dict.fromkeys((container.name, *(settings.aliases or ()), container.id[:12], *hostname)))


def shown(container: Container) -> dict[str, EndpointSettings]:
    """`NetworkSettings.Networks`, in the order of the names as Go writes maps."""
    found = sorted(of(container), key=lambda each: each.name)
    return {each.name: endpoint(container, each) for each in found}


def listed(container: Container) -> dict[str, EndpointSettings]:
    """The same in the list of containers, where dockerd leaves out the names and what was asked of the driver."""
    return {
        name: replace(settings, aliases=None, links=None, dns_names=None, driver_opts=None)
        for name, settings in shown(container).items()
    }


def endpoint(container: Container, joined: Joined) -> EndpointSettings:
    """What was asked for on one network, and what it got there."""
    state = container.state
    if joined.predefined:
        address, _, prefix = (state.ip if joined.name == BRIDGE else "").partition("/")
        return EndpointSettings(
            ipam_config=joined.settings.ipam_config,
            network_id=joined.network_id,
            endpoint_id=container.id if state.running else "",
            gateway=state.gateway if joined.name == BRIDGE else "",
            ip_address=address,
            ip_prefix_len=int(prefix or 0),
            mac_address=state.mac if joined.name == BRIDGE else "",
            driver_opts=joined.settings.driver_opts,
        )
    attached = attachment(container, joined.network_id)
    asked = joined.settings
    if attached is None:
        known = dns_names(container, asked) if state.started_ns else None
        return replace(asked, network_id=joined.network_id, dns_names=known)
    address, _, prefix = attached.ip.partition("/")
    address6, _, prefix6 = attached.ip6.partition("/")
    return replace(
        asked,
        network_id=joined.network_id,
        endpoint_id=endpoint_id(container.id, joined.network_id),
        gateway=attached.gateway,
        ip_address=address,
        ip_prefix_len=int(prefix),
        mac_address=attached.mac,
        ipv6_gateway=attached.gateway6,
        global_ipv6_address=address6,
        global_ipv6_prefix_len=int(prefix6 or 0),
        dns_names=dns_names(container, asked),
    )


def attachment(container: Container, network: str) -> Attached | None:
    """Its interface on a user's network, while it runs."""
    return next((each for each in container.state.attached if each.network_id == network), None)


def resource(container: Container, joined: Joined) -> EndpointResource:
    """A running container as the inspection of one of its networks shows it."""
    settings = endpoint(container, joined)
    address = f"{settings.ip_address}/{settings.ip_prefix_len}" if settings.ip_address else ""
    address6 = settings.global_ipv6_address
    return EndpointResource(
        name=container.name,
        endpoint_id=settings.endpoint_id,
        mac_address=settings.mac_address,
        ipv4_address=address,
        ipv6_address=f"{address6}/{settings.global_ipv6_prefix_len}" if address6 else "",
    )
