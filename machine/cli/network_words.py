"""Networks, exposed ports and hosts of `run` as docker users write them. Pure; errors are Usage."""

from __future__ import annotations

import csv
import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from hostagent.wire import EndpointIPAMConfig, EndpointSettings, NetworkingConfig
from machine.cli import values
from machine.cli.run_options import RunOptions
from machine.errors import Usage

DEFAULT: Final = "default"
_MAC: Final = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
_BUILT_IN: Final = ("bridge", "host", "none", DEFAULT)


class _Network:
    """One `--network`, with what belongs to it; filled in while it is read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.aliases: list[str] = []
        self.links: list[str] = []
        self.driver_opts: dict[str, str] = {}
        self.ip = self.ip6 = self.mac = ""
        self.link_local: list[str] = []

    @property
    def user_defined(self) -> bool:
        return self.name not in _BUILT_IN and not self.name.startswith("container:")

    def endpoint(self) -> EndpointSettings:
        ipam = EndpointIPAMConfig(ipv4_address=self.ip, ipv6_address=self.ip6, link_local_ips=self.link_local)
        return EndpointSettings(
            ipam_config=ipam if ipam != EndpointIPAMConfig() else None,
            links=self.links or None,
            aliases=self.aliases or None,
            mac_address=self.mac,
            driver_opts=self.driver_opts or None,
        )


def networking(options: RunOptions) -> tuple[str, NetworkingConfig]:
    """The network mode, and the endpoint on each network that something is said about."""
    networks = [_parse(word) for word in options.network] or [_Network(DEFAULT)]
    first = networks[0]
    if options.network_alias and not first.user_defined:
        raise Usage("--network-alias needs a network of one's own: the default one knows no names")
    _apply(first, options)
    if len(networks) > 1 and not all(each.user_defined for each in networks):
        raise Usage("a container on bridge, host, none or another container's network has no second network")
    told = {
        each.name: each.endpoint()
        for each in networks
        if each.endpoint() != EndpointSettings() or len(networks) > 1 or each.name == DEFAULT
    }
    return first.name, NetworkingConfig(endpoints_config=dict(told))


def _apply(network: _Network, options: RunOptions) -> None:
    network.aliases += options.network_alias
    if network.user_defined:
        network.links += options.link
    network.ip = _address(options.ip, 4, "--ip") or network.ip
    network.ip6 = _address(options.ip6, 6, "--ip6") or network.ip6
    network.link_local += options.link_local_ip
    network.mac = _mac(options.mac_address) or network.mac


def _parse(word: str) -> _Network:
    """`NAME`, or `name=NAME,alias=…,ip=…,ip6=…,mac-address=…,link-local-ip=…,driver-opt=K=V`."""
    if "=" not in word:
        return _Network(word)
    network = _Network("")
    for piece in next(csv.reader([word])):
        key, _, text = piece.partition("=")
        match key:
            case "name":
                network.name = text
            case "alias":
                network.aliases.append(text)
            case "ip":
                network.ip = _address(text, 4, "--network ip")
            case "ip6":
                network.ip6 = _address(text, 6, "--network ip6")
            case "mac-address":
                network.mac = _mac(text)
            case "link-local-ip":
                network.link_local.append(text)
            case "driver-opt":
                network.driver_opts |= values.pairs([text])
            case _:
                raise Usage(f'invalid --network "{word}": there is no option "{key}"')
    if not network.name:
        raise Usage(f'invalid --network "{word}": it has no name=NETWORK')
    return network


def _address(text: str, version: int, option: str) -> str:
    if not text:
        return ""
    try:
        if ipaddress.ip_address(text).version == version:
            return text
    except ValueError:
        pass
    raise Usage(f'invalid {option} "{text}": it is no IPv{version} address')


def _mac(text: str) -> str:
    if text and not _MAC.fullmatch(text):
        raise Usage(f'invalid MAC address "{text}": write six pairs, such as 02:42:ac:11:00:09')
    return text


def exposed(words: Iterable[str]) -> set[str]:
    """`80`, `80/udp`, `90-92/tcp` as `90/tcp`, …"""
    found: set[str] = set()
    for word in words:
        if ":" in word:
            raise Usage(f'invalid --expose "{word}": a port of the container only; publish one with -p')
        ports, _ = values.ports([word])
        found |= ports
    return found


def extra_hosts(words: Iterable[str]) -> list[str]:
    """`name:address` or `name=address`; an IPv6 address may stand in brackets; `host-gateway` is the engine's."""
    found: list[str] = []
    for word in words:
        name, separator, address = re.match(r"([^:=]*)([:=]?)(.*)", word, re.DOTALL).groups()  # type: ignore[union-attr]  # matches anything
        bare = address[1:-1] if address.startswith("[") and address.endswith("]") else address
        if not name or not separator:
            raise Usage(f'invalid --add-host "{word}": write NAME:ADDRESS')
        if bare != "host-gateway":
            try:
                ipaddress.ip_address(bare)
            except ValueError:
                raise Usage(f'invalid --add-host "{word}": "{address}" is no address') from None
        found.append(f"{name}:{bare}")
    return found
