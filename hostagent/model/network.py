"""What the network layer and its users say to each other: a container's interface, a published port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict, cast

Protocol = Literal["tcp", "udp", "sctp"]

# The names that people and Docker's API give to "every address of the host", of IPv4 and of IPv6.
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - a name, nothing is bound here
ANY_ADDRESS6 = "::"


class InterfaceJson(TypedDict):
    """`Interface` as it travels from the shim to init (message "network")."""

    name: str
    mac: str
    addresses: list[str]
    gateway: str | None
    gateway6: str | None
    mtu: int
    sysctls: list[tuple[str, str]]


@dataclass(frozen=True)
class Interface:
    """A network card inside a container, as it has to look when the container's first program starts.

    `addresses` are CIDR strings ("172.17.0.2/16"), IPv4 first; `gateway` (IPv4) and `gateway6` are addresses without
    prefix, `mtu` is in bytes.
    """

    name: str
    mac: str
    addresses: tuple[str, ...]
    gateway: str | None
    mtu: int = 1500
    gateway6: str | None = None
    sysctls: tuple[tuple[str, str], ...] = ()
    """Path below /proc/sys, and value: of the interface, once it is there."""

    @property
    def ip(self) -> str:
        """The first address without its prefix: what `docker inspect` calls IPAddress."""
        return self.addresses[0].partition("/")[0]

    @property
    def prefix_length(self) -> int:
        """The first address's prefix length: what `docker inspect` calls IPPrefixLen."""
        return int(self.addresses[0].partition("/")[2])

    @property
    def cidr6(self) -> str:
        """The first IPv6 address that leads beyond the link, as CIDR; "" when it has none."""
        return next((each for each in self.addresses if ":" in each and not each.startswith("fe80:")), "")

    def to_json(self) -> InterfaceJson:
        """A JSON object; `from_json` is its inverse."""
        return {
            "name": self.name,
            "mac": self.mac,
            "addresses": list(self.addresses),
            "gateway": self.gateway,
            "gateway6": self.gateway6,
            "mtu": self.mtu,
            "sysctls": list(self.sysctls),
        }

    @classmethod
    def from_json(cls, data: object) -> Interface:
        """The interface that `to_json` wrote. KeyError or TypeError when `data` is something else."""
        fields = cast(InterfaceJson, data)
        return cls(
            name=fields["name"],
            mac=fields["mac"],
            addresses=tuple(fields["addresses"]),
            gateway=fields["gateway"],
            mtu=fields["mtu"],
            gateway6=fields.get("gateway6"),
            sysctls=tuple((path, value) for path, value in fields.get("sysctls", ())),
        )


@dataclass(frozen=True)
class PortBinding:
    """One port of a container on one address of the host.

    `host_ip` "" and "0.0.0.0" both mean every IPv4 address, "::" every IPv6 address. `host_port` 0 asks for any free
    port; with `host_port_end` it is the first of a range of which one free port is wanted (Docker's HostPort
    "8000-8010").
    """

    proto: Protocol
    host_ip: str
    host_port: int
    container_port: int
    host_port_end: int = 0

    @property
    def any_address(self) -> bool:
        """True when the port is published on every address (of its family) of the host."""
        return self.host_ip in ("", ANY_ADDRESS, ANY_ADDRESS6)

    @property
    def loopback(self) -> bool:
        """True when only the host itself is to reach it."""
        return self.host_ip.startswith("127.") or self.host_ip == "::1"

    @property
    def ipv6(self) -> bool:
        return ":" in self.host_ip

    @property
    def shown_host(self) -> str:
        """The host's address as it stands before a port."""
        return f"[{self.host_ip}]" if self.ipv6 else self.host_ip or ANY_ADDRESS

    def __str__(self) -> str:
        return f"{self.shown_host}:{self.host_port}->{self.container_port}/{self.proto}"
