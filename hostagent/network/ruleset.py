"""The nftables table of a bridge, as text. Pure functions; `bridge.BridgeNetwork` runs what they return.

The rules never change while containers come and go: published ports are elements of two maps, one for ports
on every address of the host, one for ports on a single address (docs/adr/0004). The table holds its own
policy only and never overrides another table's drop.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hostagent.model.network import ANY_ADDRESS6


@dataclass(frozen=True)
class Family:
    """IPv4 or IPv6 as nftables has it."""

    name: str
    address: str
    """The type of an address."""
    loopback: str
    metadata: str
    """Where clouds' metadata services answer, also with a machine's user-data."""
    prohibited: str


IPV4 = Family("ip", "ipv4_addr", "127.0.0.0/8", "169.254.169.254", "icmp type admin-prohibited")
# Amazon's and Google's
IPV6 = Family(
    "ip6", "ipv6_addr", "::1/128", "{ fd00:ec2::254, fd20:ce::254 }", "icmpv6 type admin-prohibited"
)


@dataclass(frozen=True)
class PublishedPort:
    """An element of the maps: the host's port leads to the container's. `host_ip` "" is any IPv4 address, "::" any
    IPv6 address."""

    proto: str
    host_ip: str
    host_port: int
    container_ip: str
    container_port: int

    @property
    def map(self) -> str:
        return "ports" if self._anywhere else "addressed_ports"

    @property
    def translated(self) -> bool:
        """By nftables, which does not lead from IPv6 to IPv4: that is relay.py's."""
        return (":" in self.host_ip) == (":" in self.container_ip)

    @property
    def family(self) -> Family:
        return IPV6 if ":" in self.container_ip else IPV4

    @property
    def _anywhere(self) -> bool:
        return self.host_ip in ("", ANY_ADDRESS6)

    @property
    def key(self) -> str:
        key = f"{self.proto} . {self.host_port}"
        return key if self._anywhere else f"{self.host_ip} . {key}"

    @property
    def element(self) -> str:
        return f"{self.key} : {self.container_ip} . {self.container_port}"


@dataclass(frozen=True)
class Policy:
    """What a network is allowed. `internal`: nothing but its own containers and the host."""

    internal: bool = False
    masquerade: bool = True
    metadata: bool = False
    """Its containers may ask the cloud's metadata service."""


OPEN = Policy()


def remove_table(table: str, family: Family = IPV4) -> str:
    """Commands that leave no table of that name, whether there is one or not (`destroy` needs nft 1.0.7)."""
    return f"add table {family.name} {table}\ndelete table {family.name} {table}\n"


def replace_tables(
    table: str, bridge: str, subnets: Iterable[str], ports: Iterable[PublishedPort], policy: Policy = OPEN
) -> str:
    """`replace_table` for each family of which there is a subnet, with its ports."""
    every = tuple(ports)
    commands = ""
    for subnet in subnets:
        family = IPV6 if ":" in subnet else IPV4
        commands += replace_table(
            table, bridge, subnet, [port for port in every if port.family is family], policy, family
        )
    return commands


def replace_table(
    table: str,
    bridge: str,
    subnet: str,
    ports: Iterable[PublishedPort],
    policy: Policy = OPEN,
    family: Family = IPV4,
) -> str:
    """Commands that put the whole table in place of whatever has its name, in one transaction.

    Connections that exist are not disturbed: their translation is in conntrack, not in the table.
    """
    ip, address, loopback = family.name, family.address, family.loopback
    outbound = f'{ip} saddr {subnet} oifname != "{bridge}" masquerade\n\t\t' if policy.masquerade else ""
    confined = f'iifname "{bridge}" oifname != "{bridge}" drop\n\t\t' if policy.internal else ""
    asking = f'iifname "{bridge}" {ip} daddr {family.metadata} reject with {family.prohibited}\n\t\t'
    # IPv6 has no route_localnet: ::1 is relay.py's.
    own = "" if family is IPV4 else f"{ip} daddr != {loopback} "
    from_host = f"{own}fib daddr type local jump published"
    return f"""{remove_table(table, family)}table {ip} {table} {{
	map ports {{
		type inet_proto . inet_service : {address} . inet_service
	}}

	map addressed_ports {{
		type {address} . inet_proto . inet_service : {address} . inet_service
	}}

	chain protect {{
		comment "route_localnet lets containers send to 127.0.0.0/8 of the host: they may not"
		type filter hook prerouting priority raw; policy accept;
		iifname "{bridge}" {ip} daddr {loopback} drop
	}}

	chain from_outside {{
		type nat hook prerouting priority dstnat; policy accept;
		{ip} daddr != {loopback} fib daddr type local jump published
	}}

	chain from_host {{
		type nat hook output priority -100; policy accept;
		{from_host}
	}}

	chain published {{
		dnat {ip} to {ip} daddr . meta l4proto . th dport map @addressed_ports
		dnat {ip} to meta l4proto . th dport map @ports
	}}

	chain sources {{
		type nat hook postrouting priority srcnat; policy accept;
		{outbound}oifname "{bridge}" ct status dnat {ip} saddr {{ {loopback}, {subnet} }} masquerade
	}}

	chain forward {{
		type filter hook forward priority filter; policy accept;
		{confined}{"" if policy.metadata else asking}oifname "{bridge}" iifname != "{bridge}" ct status dnat accept
		oifname "{bridge}" iifname != "{bridge}" ct state established,related accept
		oifname "{bridge}" iifname != "{bridge}" drop
	}}
}}
{add_ports(table, ports)}"""


def add_ports(table: str, ports: Iterable[PublishedPort]) -> str:
    """Commands that publish `ports`; one command per map, however many there are."""
    return _per_map("add", table, ((port, port.element) for port in ports))


def delete_ports(table: str, ports: Iterable[PublishedPort]) -> str:
    """Commands that withdraw `ports`; nft refuses them all when one is not there."""
    return _per_map("delete", table, ((port, port.key) for port in ports))


def _per_map(verb: str, table: str, elements: Iterable[tuple[PublishedPort, str]]) -> str:
    maps: dict[tuple[Family, str], list[str]] = {}
    for port, element in elements:
        if port.translated:
            maps.setdefault((port.family, port.map), []).append(element)
    return "".join(
        f"{verb} element {family.name} {table} {name} {{ {', '.join(found)} }}\n"
        for (family, name), found in maps.items()
    )
