"""Which networks a new container joins, and whether what was asked for there can be. Errors in Docker's words."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network

from hostagent.engine.isolation import namespaces
from hostagent.engine.networks import endpointoptions
from hostagent.engine.networks.joined import BRIDGE, Joined, network_id
from hostagent.errors import Invalid, NotFound
from hostagent.network.addressing import together
from hostagent.network.bridges import Bridges
from hostagent.network.network import PREDEFINED, Network
from hostagent.wire import ContainerCreate, EndpointIPAMConfig, EndpointSettings

_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")
NO_NETWORK_BESIDE_NONE = (
    "container cannot be connected to multiple networks with one of the networks in private (none) mode"
)
HOST_STAYS = "container cannot be disconnected from host network or connected to host network"
SHARED_STAYS = (
    "container sharing network namespace with another container or host cannot be connected "
    "to any other network"
)
_UNCONFIGURED = (
    "user specified IP address is supported only when connecting to networks with user configured subnets"
)


def settle(bridges: Bridges, body: ContainerCreate, mode: str) -> tuple[Joined, ...] | None:
    """The networks of a new container; None when its mode alone says it all. `mode` is no "default" any more."""
    endpoints = dict((body.networking_config.endpoints_config if body.networking_config else None) or {})
    if mode == BRIDGE and "default" in endpoints:
        endpoints[BRIDGE] = endpoints.pop("default")
    if body.mac_address and not _MAC.fullmatch(body.mac_address):
        raise Invalid(f"invalid config for network {mode}: invalid MAC address {body.mac_address}")
    if namespaces.other(mode) is not None:
        if others := [name for name in endpoints if name != mode]:
            raise Invalid(f"{SHARED_STAYS}: leave out {', '.join(others)}")
        return None
    found = [_joined(bridges, name, settings) for name, settings in endpoints.items()]
    main = None if mode in PREDEFINED else find(bridges, mode)
    if main is not None and main.id not in [each.network_id for each in found]:
        found.insert(0, Joined(main.id, main.name, kind=main.driver))
    if not found or ([each.name for each in found] == [mode] and mode in PREDEFINED):
        return None
    names = [each.name for each in found]
    if len({*names}) != len(names):
        raise Invalid(f"a network is given twice: {', '.join(names)}")
    if "host" in names or mode == "host":
        raise Invalid(HOST_STAYS)
    if ("none" in names or mode == "none") and len({*names, mode}) > 1:
        raise Invalid(NO_NETWORK_BESIDE_NONE)
    return tuple(found)


def find(bridges: Bridges, name: str) -> Network:
    """Not NotFound: at create, docker clients take that for a missing image and pull it."""
    try:
        return bridges.find(name)
    except NotFound as error:
        raise Invalid(str(error)) from None


def _joined(bridges: Bridges, name: str, settings: EndpointSettings | None) -> Joined:
    network = None if name in PREDEFINED else find(bridges, name)
    settings = asked(settings)
    try:
        check(network, settings)
    except Invalid as error:
        raise Invalid(f"invalid config for network {name}: {error}") from None
    if network is None:
        return Joined(network_id(name), name, settings)
    return Joined(network.id, network.name, settings, network.driver)


def asked(settings: EndpointSettings | None) -> EndpointSettings:
    """What a client may ask for, without what only an engine can tell."""
    given = settings or EndpointSettings()
    return EndpointSettings(
        ipam_config=given.ipam_config,
        links=given.links,
        aliases=given.aliases,
        mac_address=given.mac_address,
        driver_opts=given.driver_opts,
    )


def check(network: Network | None, settings: EndpointSettings) -> None:
    """Raise for what cannot be on a user's network, or on a predefined one (None)."""
    ipam = settings.ipam_config or EndpointIPAMConfig()
    errors = []
    if network is None:
        if ipam.ipv4_address or ipam.ipv6_address:
            errors.append("user specified IP address is supported on user defined networks only")
        if settings.aliases:
            errors.append("network-scoped alias is supported only for containers in user defined networks")
    errors += _address_errors(ipam)
    errors += _range_errors(network, ipam)
    if settings.mac_address and not _MAC.fullmatch(settings.mac_address):
        raise Invalid(f"invalid MAC address {settings.mac_address}")
    if errors:
        raise Invalid("invalid endpoint settings:\n" + together(errors))
    endpointoptions.check(settings.driver_opts or {})


def _address_errors(ipam: EndpointIPAMConfig) -> list[str]:
    errors = []
    if ipam.ipv4_address and not _is(ipam.ipv4_address, 4):
        errors.append(f"invalid IPv4 address: {ipam.ipv4_address}")
    if ipam.ipv6_address and not _is(ipam.ipv6_address, 6):
        errors.append(f"invalid IPv6 address: {ipam.ipv6_address}")
    errors += [
        f"invalid link-local IP address: {text}"
        for text in ipam.link_local_ips
        if not _is(text, 4) and not _is(text, 6)
    ]
    return errors


def _range_errors(network: Network | None, ipam: EndpointIPAMConfig) -> list[str]:
    errors = []
    for version, text in ((4, ipam.ipv4_address), (6, ipam.ipv6_address)):
        block = network.block(version) if network else None
        if not text:
            continue
        if block is None or not block.chosen:
            errors.append(_UNCONFIGURED)
        elif not _is(text, version) or ip_address(text) not in ip_network(block.subnet):
            errors.append(f"no configured subnet or ip-range contain the IP address {text}")
    return errors


def _is(text: str, version: int) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return address.version == version and not address.is_unspecified
