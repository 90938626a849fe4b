"""A network as the engine keeps it, and how a create body becomes one. Pure; errors in Docker's words."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

import msgspec
from msgspec.structs import replace

from hostagent.errors import Denied, Invalid, NotFound, Unsupported
from hostagent.network import addressing
from hostagent.network.addressing import Block
from hostagent.network.macvlan import island
from hostagent.network.options import ENABLE_IPV6, BridgeOptions, MacvlanOptions, check_macvlan, flag
from hostagent.network.options import check as check_options
from hostagent.wire import IPAM, IPAMConfig, NetworkCreate

PREDEFINED = ("bridge", "host", "none")
DEFAULT_PREFIX = "eth"  # of interfaces' names in containers


class Network(msgspec.Struct, frozen=True, omit_defaults=True):
    """A user-defined network. The addresses are IPv4; `ip_range` is a CIDR inside `subnet` or ""."""

    id: str
    name: str
    created_ns: int
    bridge: str
    """The name of its bridge; of a macvlan network, the key of its leases."""
    subnet: str
    gateway: str
    ip_range: str = ""
    reserved: dict[str, str] = {}
    """Auxiliary addresses by name: no container gets them."""
    internal: bool = False
    attachable: bool = False
    mtu: int = 0
    """Bytes; 0 = as the host's uplink."""
    icc: bool = True
    """Containers of it may talk to each other."""
    masquerade: bool = True
    binding: str = ""
    """The host's address that ports are published at unless they name one; "" is every address."""
    own_subnet: bool = False
    """The user chose the subnet, and may choose addresses."""
    addressless: bool = False
    """The bridge has no IPv4 address of ours: somebody else on it is the gateway."""
    given: bool = False
    """The bridge was there before, and stays."""
    metadata: bool = False
    """Its containers may ask the cloud's metadata service."""
    ipv6: Block | None = None
    """Its IPv6 subnet; None without IPv6."""
    prefix: str = DEFAULT_PREFIX
    """What the names of containers' interfaces on it begin with."""
    driver: str = "bridge"
    """Or "macvlan"."""
    parent: str = ""
    """The host's interface that a macvlan network is on."""
    mode: str = ""
    """Of a macvlan network."""
    ipam: IPAM = IPAM()
    """As it was asked for."""
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None

    @property
    def ipv4(self) -> Block:
        return Block(self.subnet, self.gateway, self.ip_range, self.reserved, self.own_subnet)

    def block(self, version: int) -> Block | None:
        """Its addresses of IPv4 or IPv6; None when it has none."""
        return self.ipv4 if version == 4 else self.ipv6


@dataclass(frozen=True)
class Wanted:
    """What a create body asks for, checked; what it leaves open is None."""

    ipv4: IPAMConfig | None
    ipv6: IPAMConfig | None
    enable_ipv6: bool
    options: BridgeOptions | MacvlanOptions

    @property
    def subnet(self) -> IPv4Network | None:
        return IPv4Network(self.ipv4.subnet) if self.ipv4 else None

    @property
    def subnet6(self) -> IPv6Network | None:
        return IPv6Network(self.ipv6.subnet) if self.ipv6 else None


def check(body: NetworkCreate) -> Wanted:
    """Raise for the first thing that cannot be; nothing is accepted and ignored."""
    if body.name in PREDEFINED or body.name == "default":
        raise Denied(f"operation is not permitted on predefined {body.name} network ")
    if not body.name.strip():
        raise Invalid(f"invalid name: {body.name!r} is empty: give the network a name")
    _check_driver(body)
    ipam = body.ipam or IPAM()
    if ipam.driver not in ("", "default"):
        raise NotFound(f'plugin "{ipam.driver}" not found')
    if ipam.options:
        raise Unsupported("options of the IPAM driver are not built: leave --ipam-opt out")
    options = body.options or {}
    enable_ipv6 = flag(options, ENABLE_IPV6, body.enable_ipv6)
    ipv4, ipv6 = addressing.check(ipam.config or (), enable_ipv6)
    found = check_macvlan(options) if body.driver == "macvlan" else check_options(options)
    return Wanted(ipv4, ipv6, enable_ipv6, found)


def _check_driver(body: NetworkCreate) -> None:
    driver = body.driver or "bridge"
    if driver == "overlay":
        raise Denied(
            'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node '
            "to swarm and try again."
        )
    if driver in ("host", "null"):
        raise Denied(f'only one instance of "{driver}" network is allowed')
    if driver == "ipvlan":
        raise Unsupported("the network driver ipvlan is not built in this engine: use macvlan, or bridge")
    if driver not in ("bridge", "macvlan"):
        raise NotFound(f'plugin "{driver}" not found')
    if body.ingress:
        raise Denied("Ingress network can only be global scope network")
    if body.scope not in ("", "local"):
        raise Denied("cannot create a swarm scoped network when swarm is not active")
    if body.config_only or (body.config_from and body.config_from.network):
        raise Unsupported(
            "configuration networks (--config-only, --config-from) are not built yet in this engine"
        )


def settle(
    body: NetworkCreate,
    wanted: Wanted,
    network_id: str,
    created_ns: int,
    subnet: IPv4Network,
    subnet6: IPv6Network | None,
) -> Network:
    """The network with everything decided; the subnets are the wanted ones or free ones."""
    ipv4 = addressing.settle(wanted.ipv4, subnet)
    made = Network(
        id=network_id,
        name=body.name,
        created_ns=created_ns,
        bridge="",
        subnet=ipv4.subnet,
        gateway=ipv4.gateway,
        ip_range=ipv4.ip_range,
        reserved=ipv4.reserved,
        internal=body.internal,
        attachable=body.attachable,
        mtu=wanted.options.mtu,
        own_subnet=ipv4.chosen,
        ipv6=addressing.settle(wanted.ipv6, subnet6) if subnet6 else None,
        prefix=wanted.options.prefix or DEFAULT_PREFIX,
        ipam=body.ipam or IPAM(),
        options=body.options,
        labels=body.labels,
    )
    if isinstance(wanted.options, MacvlanOptions):
        parent = wanted.options.parent or island(network_id)
        return replace(
            made, driver="macvlan", bridge=island(network_id), parent=parent, mode=wanted.options.mode
        )
    options = wanted.options
    return replace(
        made,
        bridge=options.bridge or f"br-{network_id[:12]}",
        icc=options.icc,
        metadata=options.metadata,
        addressless=options.addressless,
        masquerade=options.masquerade,
        binding="" if options.binding == "0.0.0.0" else options.binding,  # noqa: S104 - compared, not bound
    )
