"""The subnets of a create body (`--subnet`, `--gateway`, `--ip-range`, `--aux-address`), checked. Pure; errors in
Docker's words."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

import msgspec

from hostagent.errors import Denied, EngineError, Invalid
from hostagent.wire import IPAMConfig

Subnet = IPv4Network | IPv6Network


class Block(msgspec.Struct, frozen=True, omit_defaults=True):
    """A subnet as it is cut: CIDR texts and addresses; `ip_range` is a part of `subnet` or ""."""

    subnet: str
    gateway: str
    ip_range: str = ""
    reserved: dict[str, str] = {}
    """Auxiliary addresses by name: no container gets them."""
    chosen: bool = False
    """By the user, who may choose addresses of it too."""


def check(configs: Sequence[IPAMConfig], enable_ipv6: bool) -> tuple[IPAMConfig | None, IPAMConfig | None]:
    """What is asked for of IPv4 and of IPv6; None: nothing, or IPv6 on a network without."""
    if errors := [text for config in configs for text in _errors(config, enable_ipv6)]:
        raise Invalid("invalid network config:\n" + together(errors))
    found: list[IPAMConfig | None] = []
    for version in (4, 6):
        asked = [config for config in configs if _version(config.subnet) == version]
        if len(asked) > 1 and (version == 4 or enable_ipv6):
            raise Denied("bridge driver doesn't support multiple subnets")
        found.append(asked[0] if asked and (version == 4 or enable_ipv6) else None)
    return found[0], found[1]


def together(errors: list[str]) -> str:
    """Several errors as Docker lists them."""
    return errors[0] if len(errors) == 1 else "* " + "\n* ".join(errors)


def settle(config: IPAMConfig | None, subnet: Subnet) -> Block:
    """`subnet` is the wanted one or a free one. EngineError when it has no room for containers."""
    config = config or IPAMConfig()
    reserved = dict(config.auxiliary_addresses)
    first = int(subnet.network_address) + 1
    if config.ip_range:
        # As Docker: without one of its own, the gateway is the first address that containers might get.
        first = max(first, int(ipaddress.ip_network(config.ip_range).network_address))
    taken = {int(ipaddress.ip_address(text)) for text in reserved.values()}
    while first in taken:
        first += 1
    address = type(subnet.network_address)
    gateway = address(config.gateway) if config.gateway else address(first)
    if subnet.prefixlen > subnet.max_prefixlen - 2 or gateway not in subnet:
        raise EngineError(f"no available addresses on this pool: {subnet} has no room for containers")
    ip_range = str(ipaddress.ip_network(config.ip_range)) if config.ip_range else ""
    return Block(str(subnet), str(gateway), ip_range, reserved, bool(config.subnet))


def unique_local() -> IPv6Network:
    """A /64 of its own, by chance: 40 random bits keep it apart from everybody's (RFC 4193)."""
    return IPv6Network((0xFD << 120 | secrets.randbits(40) << 80, 64))


def _version(subnet: str) -> int:
    return 6 if ":" in subnet else 4


def _errors(config: IPAMConfig, enable_ipv6: bool) -> list[str]:
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


def _range_errors(text: str, subnet: Subnet) -> list[str]:
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


def _outside(text: str, subnet: Subnet) -> str:
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
