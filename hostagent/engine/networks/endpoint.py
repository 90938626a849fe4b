"""Where a container is on its networks: its interfaces, in order, and what follows from that. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from hostagent.engine.networks import joined
from hostagent.engine.networks.joined import Attached
from hostagent.engine.state import PublishedPort
from hostagent.model.network import Interface, InterfaceJson, PortBinding
from hostagent.network.driver import Driver
from hostagent.network.network import DEFAULT_PREFIX, Network

Order = tuple[bool, bool, str]


class Facts(TypedDict):
    """Fields of State that tell where a running container is."""

    ip: str
    gateway: str
    mac: str
    attached: tuple[Attached, ...]
    ports: tuple[PublishedPort, ...]


@dataclass(frozen=True)
class Placed:
    """An interface on a bridge; `network` is None for the default one."""

    network: Network | None
    bridge: Driver
    interface: Interface

    @property
    def order(self) -> Order:
        return order(self.network)

    @property
    def internal(self) -> bool:
        return self.network is not None and self.network.internal


@dataclass(frozen=True)
class Endpoint:
    """What a start needs: interfaces (in order) and the bound sockets of ports, the caller's."""

    placed: tuple[Placed, ...] = ()
    bindings: tuple[PortBinding, ...] = ()
    port_fds: tuple[int, ...] = ()
    host_gateway: str | None = None
    """What `--add-host NAME:host-gateway` means: the host, on the default bridge."""

    @property
    def legacy(self) -> Interface | None:
        """That on the default bridge."""
        return next((each.interface for each in self.placed if each.network is None), None)

    @property
    def outward(self) -> Placed | None:
        """The way out: it has the default route and the published ports."""
        return self.placed[0] if self.placed and not self.placed[0].internal else None

    @property
    def resolver(self) -> bool:
        """Names are answered on users' networks only."""
        return any(each.network is not None for each in self.placed)

    @property
    def outward6(self) -> Placed | None:
        """The way out of IPv6: the first network that has it."""
        return next((each for each in self.placed if each.interface.gateway6 and not each.internal), None)

    @property
    def addresses(self) -> list[str]:
        """Without link-local ones: what its names mean."""
        return [
            cidr.partition("/")[0]
            for each in self.placed
            for cidr in (each.interface.addresses[0], each.interface.cidr6)
            if cidr
        ]

    def interfaces(self) -> list[InterfaceJson]:
        """For the container's init: only the ways out have gateways."""
        return [
            replace(
                each.interface,
                gateway=each.interface.gateway if each is self.outward else None,
                gateway6=each.interface.gateway6 if each is self.outward6 else None,
            ).to_json()
            for each in self.placed
        ]


NOWHERE = Endpoint()


def order(network: Network | None) -> Order:
    """Of a container's networks: the first has the default route and the published ports, unless it is internal.
    As Docker: those with IPv6 before those without, then by name."""
    if network is None:
        return False, True, joined.BRIDGE
    return network.internal, network.ipv6 is None, network.name


def next_name(network: Network | None, others: Sequence[Placed]) -> str:
    """Of a container's next interface: numbers begin at 0 for each prefix."""
    prefix = network.prefix if network else DEFAULT_PREFIX
    used = {each.interface.name for each in others}
    return next(f"{prefix}{at}" for at in range(len(used) + 1) if f"{prefix}{at}" not in used)


def facts(endpoint: Endpoint) -> Facts:
    """An endpoint as State tells of it."""
    legacy, bindings = endpoint.legacy, endpoint.bindings
    return Facts(
        ip=legacy.addresses[0] if legacy else "",
        gateway=(legacy.gateway or "") if legacy else "",
        mac=legacy.mac if legacy else "",
        attached=attached(endpoint.placed),
        ports=tuple(
            PublishedPort(binding.proto, binding.host_ip, binding.host_port, binding.container_port)
            for binding in bindings
        ),
    )


def attached(placed: Sequence[Placed]) -> tuple[Attached, ...]:
    """Those on users' networks, for the state."""
    return tuple(
        Attached(
            network_id=each.network.id,
            interface=each.interface.name,
            ip=each.interface.addresses[0],
            gateway="" if each.internal else each.interface.gateway or "",
            mac=each.interface.mac,
            ip6=each.interface.cidr6,
            gateway6="" if each.internal else each.interface.gateway6 or "",
        )
        for each in placed
        if each.network is not None
    )
