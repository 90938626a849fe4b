"""Options of the drivers (`docker network create --opt`), checked. Pure; errors in Docker's words."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from hostagent.errors import EngineError, Invalid, Unsupported

_NAME = "com.docker.network.bridge.name"
_MTU = "com.docker.network.driver.mtu"
_ICC = "com.docker.network.bridge.enable_icc"
_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
_BINDING = "com.docker.network.bridge.host_binding_ipv4"
_PREFIX = "com.docker.network.container_iface_prefix"
ENABLE_IPV6 = "com.docker.network.enable_ipv6"
_INHIBIT = "com.docker.network.bridge.inhibit_ipv4"
_METADATA = "pymachine.network.metadata"
_PARENT, _MODE = "parent", "macvlan_mode"
_BRIDGE = frozenset({_NAME, _MTU, _ICC, _MASQUERADE, _BINDING, _PREFIX, _INHIBIT, ENABLE_IPV6})
_MACVLAN = frozenset({_MTU, _PREFIX, ENABLE_IPV6})
MACVLAN_MODES = ("bridge", "private", "vepa", "passthru")
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_INTERFACE_PREFIX = re.compile(
    r"[A-Za-z][A-Za-z0-9_-]{0,12}"
)  # room for a number, of the kernel's 15 letters
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
"""Go's strconv.ParseBool."""


@dataclass(frozen=True)
class BridgeOptions:
    """What is left open is "", or 0."""

    bridge: str
    mtu: int
    icc: bool
    masquerade: bool
    binding: str
    prefix: str
    addressless: bool
    """The bridge gets no IPv4 address: whoever else is on it is the gateway."""
    metadata: bool
    """The cloud's metadata service is not kept from containers."""


@dataclass(frozen=True)
class MacvlanOptions:
    """`parent` "" asks for an island; `mode` is of MACVLAN_MODES, `mtu` 0 without one."""

    parent: str
    mode: str
    mtu: int
    prefix: str


def check_macvlan(options: Mapping[str, str]) -> MacvlanOptions:
    """The same for a macvlan network."""
    _known(options, _MACVLAN)
    mode = options.get(_MODE) or "bridge"
    if mode not in MACVLAN_MODES:
        raise EngineError(
            f"requested macvlan mode '{mode}' is not valid, 'bridge' mode is the macvlan driver default"
        )
    parent = options.get(_PARENT, "")
    if parent == "lo":
        raise EngineError("loopback interface is not a valid macvlan parent link")
    return MacvlanOptions(parent, mode, _mtu(options), _prefix(options))


def _known(options: Mapping[str, str], known: Collection[str]) -> None:
    for name in options:
        if name not in known and name.startswith("com.docker.network."):
            raise Unsupported(f"the network option {name} is not built in this engine: leave it out")


def _prefix(options: Mapping[str, str]) -> str:
    prefix = options.get(_PREFIX, "")
    if prefix and not _INTERFACE_PREFIX.fullmatch(prefix):
        raise Invalid(f"interface prefix {prefix!r}: give up to 13 letters, digits, - and _, a letter first")
    return prefix


def check(options: Mapping[str, str]) -> BridgeOptions:
    """Raise for the first that cannot be; what is not Docker's is the user's own affair."""
    _known(options, _BRIDGE)
    bridge = options.get(_NAME, "")
    if bridge and not _INTERFACE.fullmatch(bridge):
        raise Invalid(f"bridge name {bridge!r}: give up to 15 letters, digits, -, _ and .")
    return BridgeOptions(
        bridge=bridge,
        mtu=_mtu(options),
        icc=flag(options, _ICC, True),
        masquerade=flag(options, _MASQUERADE, True),
        binding=_binding(options),
        prefix=_prefix(options),
        addressless=flag(options, _INHIBIT, False),
        metadata=flag(options, _METADATA, False),
    )


def flag(options: Mapping[str, str], name: str, otherwise: bool) -> bool:
    """A truth value as Go reads it."""
    if name not in options:
        return otherwise
    text = options[name]
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise Invalid(
        f'failed to parse {name} value: {text} (strconv.ParseBool: parsing "{text}": invalid syntax)'
    )


def _mtu(options: Mapping[str, str]) -> int:
    text = options.get(_MTU, "")
    if not text:
        return 0
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII):
        raise Invalid(f"failed to parse {_MTU} value: {text} (not a number of bytes)")
    mtu = int(text)
    if mtu and not 68 <= mtu <= 65535:  # RFC 791's least, and the kernel's most for a bridge
        raise Invalid(f"invalid MTU number: {mtu}")
    return mtu


def _binding(options: Mapping[str, str]) -> str:
    text = options.get(_BINDING, "")
    if not text:
        return ""
    try:
        return str(IPv4Address(text))
    except ValueError:
        raise Invalid(f"failed to parse {_BINDING} value: {text} (nil ip)") from None
