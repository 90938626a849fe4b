"""The nftables table of a bridge, as text. Pure functions; `bridge.BridgeNetwork` runs what they return.

The rules never change while containers come and go: published ports are elements of two maps, one for ports
on every address of the host, one for ports on a single address (docs/adr/0004). The table holds its own
policy only and never overrides another table's drop.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# Cloud metadata services (AWS, GCP, Azure, OpenStack, ...) answer here, also with a machine's user-data.
METADATA_ADDRESS = "169.254.169.254"


@dataclass(frozen=True)
class PublishedPort:
    """An element of the maps: the host's port leads to the container's. `host_ip` "" is any address."""

    proto: str
    host_ip: str
    host_port: int
    container_ip: str
    container_port: int

    @property
    def map(self) -> str:
        return "addressed_ports" if self.host_ip else "ports"

    @property
    def key(self) -> str:
        key = f"{self.proto} . {self.host_port}"
        return f"{self.host_ip} . {key}" if self.host_ip else key

    @property
    def element(self) -> str:
        return f"{self.key} : {self.container_ip} . {self.container_port}"


@dataclass(frozen=True)
class Policy:
    """What a network is allowed. `internal`: nothing but its own containers and the host."""

    internal: bool = False
    masquerade: bool = True


OPEN = Policy()


def remove_table(table: str) -> str:
    """Commands that leave no table of that name, whether there is one or not (`destroy` needs nft 1.0.7)."""
    return f"add table ip {table}\ndelete table ip {table}\n"


def replace_table(
    table: str, bridge: str, subnet: str, ports: Iterable[PublishedPort], policy: Policy = OPEN
) -> str:
    """Commands that put the whole table in place of whatever has its name, in one transaction.

    Connections that exist are not disturbed: their translation is in conntrack, not in the table.
    """
    outbound = f'ip saddr {subnet} oifname != "{bridge}" masquerade\n\t\t' if policy.masquerade else ""
    confined = f'iifname "{bridge}" oifname != "{bridge}" drop\n\t\t' if policy.internal else ""
    return f"""{remove_table(table)}table ip {table} {{
	map ports {{
		type inet_proto . inet_service : ipv4_addr . inet_service
	}}

	map addressed_ports {{
		type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
	}}

	chain protect {{
		comment "route_localnet lets containers send to 127.0.0.0/8 of the host: they may not"
		type filter hook prerouting priority raw; policy accept;
		iifname "{bridge}" ip daddr 127.0.0.0/8 drop
	}}

	chain from_outside {{
		type nat hook prerouting priority dstnat; policy accept;
		ip daddr != 127.0.0.0/8 fib daddr type local jump published
	}}

	chain from_host {{
		type nat hook output priority -100; policy accept;
		fib daddr type local jump published
	}}

	chain published {{
		dnat ip to ip daddr . meta l4proto . th dport map @addressed_ports
		dnat ip to meta l4proto . th dport map @ports
	}}

	chain sources {{
		type nat hook postrouting priority srcnat; policy accept;
		{outbound}oifname "{bridge}" ct status dnat ip saddr {{ 127.0.0.0/8, {subnet} }} masquerade
	}}

	chain forward {{
		type filter hook forward priority filter; policy accept;
		{confined}iifname "{bridge}" ip daddr {METADATA_ADDRESS} reject with icmp type admin-prohibited
		oifname "{bridge}" iifname != "{bridge}" ct status dnat accept
		oifname "{bridge}" iifname != "{bridge}" ct state established,related accept
		oifname "{bridge}" iifname != "{bridge}" drop
	}}
}}
{add_ports(table, ports)}"""


def add_ports(table: str, ports: Iterable[PublishedPort]) -> str:
    """Commands that publish `ports`; one command per map, however many there are."""
    return _per_map("add", table, ((port.map, port.element) for port in ports))


def delete_ports(table: str, ports: Iterable[PublishedPort]) -> str:
    """Commands that withdraw `ports`; nft refuses them all when one is not there."""
    return _per_map("delete", table, ((port.map, port.key) for port in ports))


def _per_map(verb: str, table: str, elements: Iterable[tuple[str, str]]) -> str:
    maps: dict[str, list[str]] = {}
    for name, element in elements:
        maps.setdefault(name, []).append(element)
    return "".join(
        f"{verb} element ip {table} {name} {{ {', '.join(found)} }}\n" for name, found in maps.items()
    )
