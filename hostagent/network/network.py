"""A network as the engine keeps it, and how a create body becomes one. Pure; errors in Docker's words."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network

import msgspec

from hostagent.errors import Denied, EngineError, Invalid, NotFound, Unsupported
from hostagent.wire import IPAM, IPAMConfig, NetworkCreate

PREDEFINED = ("bridge", "host", "none")
_NAME_OPTION = "com.docker.network.bridge.name"
_MTU_OPTION = "com.docker.network.driver.mtu"
_ICC_OPTION = "com.docker.network.bridge.enable_icc"
_MASQUERADE_OPTION = "com.docker.network.bridge.enable_ip_masquerade"
_BINDING_OPTION = "com.docker.network.bridge.host_binding_ipv4"
_OPTIONS = frozenset({_NAME_OPTION, _MTU_OPTION, _ICC_OPTION, _MASQUERADE_OPTION, _BINDING_OPTION})
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,14}")
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
"""Go's strconv.ParseBool."""


class Network(msgspec.Struct, frozen=True, omit_defaults=True):
    """A user-defined bridge network. Addresses are IPv4; `ip_range` is a CIDR inside `subnet` or ""."""

    id: str
    name: str
    created_ns: int
    bridge: str
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
    ipam: IPAM = IPAM()
    """As it was asked for."""
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class Wanted(msgspec.Struct, frozen=True):
    """What a create body asks for, checked; what it leaves open is None or ""."""

    subnet: IPv4Network | None
    gateway: IPv4Address | None
    ip_range: IPv4Network | None
    reserved: dict[str, str]
    bridge: str
    mtu: int
    icc: bool
    masquerade: bool
    binding: str


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
    errors = [text for config in ipam.config or () for text in _address_errors(config, body.enable_ipv6)]
    if errors:
        raise Invalid("invalid network config:\n" + together(errors))
    if body.enable_ipv6:
        raise Unsupported("IPv6 on user-defined networks is not built yet in this engine: leave --ipv6 out")
    configs = [config for config in ipam.config or () if ":" not in config.subnet]
    if len(configs) > 1:
        raise Denied("bridge driver doesn't support multiple subnets")
    options = body.options or {}
    bridge = options.get(_NAME_OPTION, "")
    if bridge and not _INTERFACE.fullmatch(bridge):
        raise Invalid(f"bridge name {bridge!r}: give up to 15 letters, digits, - and _")
    for name in options:
        if name not in _OPTIONS and name.startswith("com.docker.network."):
            raise Unsupported(f"the network option {name} is not built in this engine: leave it out")
    config = configs[0] if configs else None
    return Wanted(
        subnet=IPv4Network(config.subnet) if config else None,
        gateway=IPv4Address(config.gateway) if config and config.gateway else None,
        ip_range=IPv4Network(config.ip_range) if config and config.ip_range else None,
        reserved=dict(config.auxiliary_addresses) if config else {},
        bridge=bridge,
        mtu=_mtu(options),
        icc=_flag(options, _ICC_OPTION),
        masquerade=_flag(options, _MASQUERADE_OPTION),
        binding=_binding(options),
    )


def together(errors: list[str]) -> str:
    """Several errors as Docker lists them."""
    return errors[0] if len(errors) == 1 else "* " + "\n* ".join(errors)


def _check_driver(body: NetworkCreate) -> None:
    driver = body.driver or "bridge"
    if driver == "overlay":
        raise Denied(
            'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node '
            "to swarm and try again."
        )
    if driver in ("host", "null"):
        raise Denied(f'only one instance of "{driver}" network is allowed')
    if driver in ("macvlan", "ipvlan"):
        raise Unsupported(f"the network driver {driver} is not built yet in this engine: use bridge")
    if driver != "bridge":
        raise NotFound(f'plugin "{driver}" not found')
    if body.ingress:
        raise Denied("Ingress network can only be global scope network")
    if body.scope not in ("", "local"):
        raise Denied("cannot create a swarm scoped network when swarm is not active")
    if body.config_only or (body.config_from and body.config_from.network):
        raise Unsupported(
            "configuration networks (--config-only, --config-from) are not built yet in this engine"
        )


def _address_errors(config: IPAMConfig, enable_ipv6: bool) -> list[str]:
    try:
        interface = ipaddress.ip_interface(config.subnet)
        if "/" not in config.subnet:
            raise ValueError
    except ValueError:
        return [f"invalid subnet {config.subnet}: invalid CIDR block notation"]
    subnet = interface.network
    if subnet.version == 6 and not enable_ipv6:
        return []
    found = []
    if interface.ip != subnet.network_address:
        found.append(f"invalid subnet {config.subnet}: it should be {subnet}")
    found += _range_errors(config.ip_range, subnet)
    if why := _outside(config.gateway, subnet):
        found.append(f"invalid gateway {config.gateway}: {why}")
    for name, address in config.auxiliary_addresses.items():
        if why := _outside(address, subnet):
            found.append(f"invalid auxiliary address {name}: {why}")
    return found


def _range_errors(text: str, subnet: ipaddress.IPv4Network | ipaddress.IPv6Network) -> list[str]:
    if not text:
        return []
    try:
        interface = ipaddress.ip_interface(text)
        if "/" not in text:
            raise ValueError
    except ValueError:
        return [f"invalid ip-range {text}: invalid CIDR block notation"]
    prefix = interface.network
    if prefix.version != subnet.version:
        return [f"invalid ip-range {text}: parent subnet is an IPv{subnet.version} block"]
    found = []
    if prefix.prefixlen < subnet.prefixlen:
        found.append(f"invalid ip-range {text}: CIDR block is bigger than its parent subnet {subnet}")
    if interface.ip != prefix.network_address:
        found.append(f"invalid ip-range {text}: it should be {prefix}")
    if not subnet.overlaps(prefix):
        found.append(f"invalid ip-range {text}: parent subnet {subnet} doesn't contain ip-range")
    return found


def _outside(text: str, subnet: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    """Why an address cannot be one of `subnet`; "" when it can, or is not given."""
    if not text:
        return ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "invalid address"
    if address.version != subnet.version:
        return f"parent subnet is an IPv{subnet.version} block"
    return "" if address in subnet else f"parent subnet {subnet} doesn't contain this address"


def _mtu(options: Mapping[str, str]) -> int:
    text = options.get(_MTU_OPTION, "")
    if not text:
        return 0
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII):
        raise Invalid(f"failed to parse {_MTU_OPTION} value: {text} (not a number of bytes)")
    mtu = int(text)
    if mtu and not 68 <= mtu <= 65535:  # RFC 791's least, and the kernel's most for a bridge
        raise Invalid(f"invalid MTU number: {mtu}")
    return mtu


def _flag(options: Mapping[str, str], name: str) -> bool:
    text = options.get(name, "true")
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise Invalid(
        f'failed to parse {name} value: {text} (strconv.ParseBool: parsing "{text}": invalid syntax)'
    )


def _binding(options: Mapping[str, str]) -> str:
    text = options.get(_BINDING_OPTION, "")
    if not text:
        return ""
    try:
        return str(IPv4Address(text))
    except ValueError:
        raise Invalid(f"failed to parse {_BINDING_OPTION} value: {text} (invalid ip)") from None


def settle(
    body: NetworkCreate, wanted: Wanted, network_id: str, created_ns: int, subnet: IPv4Network
) -> Network:
    """The network with everything decided; `subnet` is the wanted one or a free one."""
    first = subnet.network_address + 1
    if wanted.ip_range is not None:
        # As Docker: without one of its own, the gateway is the first address that containers might get.
        first = max(first, wanted.ip_range.network_address)
    while str(first) in wanted.reserved.values():
        first += 1
    gateway = wanted.gateway or first
    if subnet.prefixlen > 30 or gateway not in subnet:
        raise EngineError(f"no available addresses on this pool: {subnet} has no room for containers")
    return Network(
        id=network_id,
        name=body.name,
        created_ns=created_ns,
        bridge=wanted.bridge or f"br-{network_id[:12]}",
        subnet=str(subnet),
        gateway=str(gateway),
        ip_range=str(wanted.ip_range or ""),
        reserved=wanted.reserved,
        internal=body.internal,
        attachable=body.attachable,
        mtu=wanted.mtu,
        icc=wanted.icc,
        masquerade=wanted.masquerade,
        binding="" if wanted.binding == "0.0.0.0" else wanted.binding,  # noqa: S104 - compared, not bound
        own_subnet=wanted.subnet is not None,
        ipam=body.ipam or IPAM(),
        options=body.options,
        labels=body.labels,
    )
