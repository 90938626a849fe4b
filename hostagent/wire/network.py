"""Networking parts of containers on the wire: endpoints, port maps, addresses (API 1.24-1.47)."""

from __future__ import annotations

from hostagent.wire.base import Wire, shown


class PortBinding(Wire, frozen=True, kw_only=True):
    """Where a container port is published; an empty `host_port` asks for a random one."""

    host_ip: str = shown("")
    host_port: str = shown("")


PortMap = dict[str, list[PortBinding] | None]
"""`80/tcp` -> bindings; None or an empty list is "exposed, not published"."""


class Port(Wire, frozen=True, kw_only=True):
    """One line of the PORTS column of `docker ps`; `type` is tcp, udp or sctp."""

    ip: str = ""
    private_port: int = shown(0)
    public_port: int = 0
    type: str = shown("tcp")


class Address(Wire, frozen=True, kw_only=True):
    """An additional address of the default network."""

    addr: str = shown("")
    prefix_len: int = shown(0)


class EndpointIPAMConfig(Wire, frozen=True, kw_only=True):
    """The addresses that a client asks for."""

    ipv4_address: str = ""
    ipv6_address: str = ""
    link_local_ips: list[str] = []


class EndpointSettings(Wire, frozen=True, kw_only=True):
    """A container's interface on one network: what was asked, and what it got."""

    ipam_config: EndpointIPAMConfig | None = shown(None)
    links: list[str] | None = shown(None)
    aliases: list[str] | None = shown(None)
    mac_address: str = shown("")
    driver_opts: dict[str, str] | None = shown(None)
    network_id: str = shown("")
    endpoint_id: str = shown("")
    gateway: str = shown("")
    ip_address: str = shown("")
    ip_prefix_len: int = shown(0)
    ipv6_gateway: str = shown("")
    global_ipv6_address: str = shown("")
    global_ipv6_prefix_len: int = shown(0)
    dns_names: list[str] | None = shown(None)


class NetworkingConfig(Wire, frozen=True, kw_only=True):
    """The networks that a new container joins, by name."""

    endpoints_config: dict[str, EndpointSettings | None] | None = shown(None)


class NetworkSettings(Wire, frozen=True, kw_only=True):
    """`NetworkSettings` of a container inspection; the flat address fields mirror the default bridge."""

    bridge: str = shown("")
    sandbox_id: str = shown("")
    sandbox_key: str = shown("")
    ports: PortMap = shown({})
    hairpin_mode: bool = shown(False)
    link_local_ipv6_address: str = shown("")
    link_local_ipv6_prefix_len: int = shown(0)
    secondary_ip_addresses: list[Address] | None = shown(None)
    secondary_ipv6_addresses: list[Address] | None = shown(None)
    endpoint_id: str = shown("")
    gateway: str = shown("")
    global_ipv6_address: str = shown("")
    global_ipv6_prefix_len: int = shown(0)
    ip_address: str = shown("")
    ip_prefix_len: int = shown(0)
    ipv6_gateway: str = shown("")
    mac_address: str = shown("")
    networks: dict[str, EndpointSettings] = shown({})


class SummaryNetworkSettings(Wire, frozen=True, kw_only=True):
    """The networks of a container in a list."""

    networks: dict[str, EndpointSettings] = shown({})


class IPAMConfig(Wire, frozen=True, kw_only=True):
    """One subnet of a network, in CIDR; `ip_range` is the part of it that containers get addresses from."""

    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""
    auxiliary_addresses: dict[str, str] = {}


class IPAM(Wire, frozen=True, kw_only=True):
    """Address management of a network."""

    driver: str = shown("default")
    options: dict[str, str] | None = shown(None)
    config: list[IPAMConfig] | None = shown(None)


class ConfigReference(Wire, frozen=True, kw_only=True):
    """The network whose configuration another one takes."""

    network: str = shown("")


class NetworkCreate(Wire, frozen=True, kw_only=True):
    """Body of POST /networks/create."""

    name: str = ""
    check_duplicate: bool = False
    driver: str = ""
    scope: str = ""
    enable_ipv6: bool = False
    ipam: IPAM | None = None
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: ConfigReference | None = None
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class NetworkCreated(Wire, frozen=True, kw_only=True):
    """Answer of POST /networks/create."""

    id: str = shown("")
    warning: str = shown("")


class EndpointResource(Wire, frozen=True, kw_only=True):
    """A container on a network, as the network's inspection shows it; addresses are CIDR."""

    name: str = shown("")
    endpoint_id: str = shown("")
    mac_address: str = shown("")
    ipv4_address: str = shown("")
    ipv6_address: str = shown("")


class Network(Wire, frozen=True, kw_only=True):
    """Answer of GET /networks/{id}, entry of GET /networks."""

    name: str = shown("")
    id: str = shown("")
    created: str = shown("")
    scope: str = shown("local")
    driver: str = shown("bridge")
    enable_ipv6: bool = shown(False)
    ipam: IPAM = shown(IPAM())
    internal: bool = shown(False)
    attachable: bool = shown(False)
    ingress: bool = shown(False)
    config_from: ConfigReference = shown(ConfigReference())
    config_only: bool = shown(False)
    containers: dict[str, EndpointResource] = shown({})
    options: dict[str, str] | None = shown(None)
    labels: dict[str, str] | None = shown(None)


class NetworksPruned(Wire, frozen=True, kw_only=True):
    """Answer of POST /networks/prune."""

    networks_deleted: list[str] | None = shown(None)


class NetworkConnect(Wire, frozen=True, kw_only=True):
    """Body of POST /networks/{id}/connect."""

    container: str = ""
    endpoint_config: EndpointSettings | None = None


class NetworkDisconnect(Wire, frozen=True, kw_only=True):
    """Body of POST /networks/{id}/disconnect."""

    container: str = ""
    force: bool = False
