"""Port bindings of a create body: parsed, checked, and shown in Docker's several forms."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from hostagent.engine.state import PublishedPort
from hostagent.errors import Invalid
from hostagent.model.network import ANY_ADDRESS, PortBinding, Protocol
from hostagent.wire import ContainerCreate, HostConfig, Port, PortMap
from hostagent.wire import PortBinding as WireBinding

PORT_MAX = 65535
PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp", "sctp")


def parse_bindings(config: ContainerCreate, host: HostConfig) -> tuple[PortBinding, ...]:
    """What shall be published, `-P` included. Invalid with the text that is wrong."""
    bindings: list[PortBinding] = []
    for key, wanted in (host.port_bindings or {}).items():
        port, proto = parse_port(key)
        for binding in wanted or [WireBinding()]:
            first, last = _host_range(binding.host_port)
            bindings.append(PortBinding(proto, _address(binding.host_ip), first, port, last))
    if host.publish_all_ports:
        published = {(binding.container_port, binding.proto) for binding in bindings}
        for key in config.exposed_ports:
            port, proto = parse_port(key)
            if (port, proto) not in published:
                bindings.append(PortBinding(proto, "", 0, port))
    return tuple(bindings)


def parse_port(key: str) -> tuple[int, Protocol]:
    """`80/tcp` or `80` -> (80, "tcp")."""
    number, _, proto = key.partition("/")
    proto = proto or "tcp"
    if number.isdigit() and 0 < int(number) <= PORT_MAX:
        for known in PROTOCOLS:
            if proto == known:
                return int(number), known
    raise Invalid(f"invalid port specification: {key!r}: use PORT or PORT/tcp|udp")


def of_filter(key: str, values: Iterable[str]) -> set[tuple[int, str]]:
    """(number, protocol) of the values `80`, `80/udp`, `80-90/tcp` of a filter of `docker ps`. Raises Invalid."""
    found: set[tuple[int, str]] = set()
    for value in values:
        if ":" in value:
            raise Invalid(f"filter for '{key}' should not contain ':': {value}")
        span, _, proto = value.partition("/")
        low, high = _filter_range(key, value, span)
        found |= {(number, proto or "tcp") for number in range(low, high + 1)}
    return found


def _filter_range(key: str, value: str, span: str) -> tuple[int, int]:
    first, dash, last = span.partition("-")
    for text in (first, last) if dash else (first,):
        if not (text.isascii() and text.isdigit() and int(text) <= PORT_MAX):
            raise Invalid(f"error while looking up for {key} {value}: {text!r} is not a port")
    low, high = int(first), int(last if dash else first)
    if high < low:
        raise Invalid(f"error while looking up for {key} {value}: invalid range specified for port: {span}")
    return low, high


def _host_range(text: str) -> tuple[int, int]:
    if not text:
        return 0, 0
    first, dash, last = text.partition("-")
    if not first.isdigit() or (dash and not last.isdigit()):
        raise Invalid(f"invalid port specification: {text!r}")
    low, high = int(first), int(last) if dash else 0
    if low > PORT_MAX or high > PORT_MAX or (high and high < low):
        raise Invalid(f"invalid port specification: {text!r}")
    return low, high if high != low else 0


def _address(text: str) -> str:
    if not text:
        return ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise Invalid(f"invalid IP address: {text}") from None
    return str(address)


def shown_address(port: PublishedPort) -> str:
    """As Docker names every address of the host."""
    return port.host_ip or ANY_ADDRESS


def port_map(exposed: Iterable[str], ports: Iterable[PublishedPort]) -> PortMap:
    """`NetworkSettings.Ports`: every exposed port, null unless it is published."""
    shown: dict[str, list[WireBinding] | None] = {"{}/{}".format(*parse_port(key)): None for key in exposed}
    for port in ports:
        key = f"{port.container_port}/{port.proto}"
        bindings = shown.get(key) or []
        shown[key] = [
            *bindings,
            WireBinding(host_ip=shown_address(port), host_port=str(port.host_port)),
        ]  # as Docker shows it
    return shown


def port_list(exposed: Iterable[str], ports: Iterable[PublishedPort]) -> list[Port]:
    """The PORTS column of a list."""
    published = [
        Port(
            ip=shown_address(port),
            private_port=port.container_port,
            public_port=port.host_port,
            type=port.proto,
        )
        for port in ports
    ]
    known = {(port.private_port, port.type) for port in published}
    rest = [parse_port(key) for key in exposed]
    return published + [
        Port(private_port=number, type=proto) for number, proto in rest if (number, proto) not in known
    ]
