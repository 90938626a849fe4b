"""What every kind of network does for containers. Addresses are leased alike, whatever carries the packets."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from hostagent.errors import Invalid, Unavailable, Unsupported
from hostagent.kernel import netlink
from hostagent.model.network import Interface, PortBinding
from hostagent.network import ipam
from hostagent.network.ipam6 import Leases6, Pool6
from hostagent.statedb.database import Database

INTERFACE = "eth0"  # the name inside the container


class Driver(ABC):
    """One network. Its leases are in the state database under `key`, the name of its bridge or the like.

    All calls are synchronous and short; none enters a namespace or starts a process. `pool` None: all of a subnet that
    is chosen later.
    """

    publishes = False
    """Whether ports of the host can lead to its containers."""

    def __init__(self, db: Database, key: str, pool: ipam.Pool | None, pool6: Pool6 | None) -> None:
        self._key = key
        self._leases = ipam.Leases(db, key, pool)
        self._pool6 = pool6
        self._leases6 = Leases6(db, key, pool6) if pool6 else None

    @property
    @abstractmethod
    def mtu(self) -> int:
        """Bytes, of its interfaces."""

    @property
    def subnet(self) -> IPv4Network:
        """Unavailable before the first `ensure`."""
        found = self._leases.subnet()
        if found is None:
            raise Unavailable(f"the network {self._key} is not set up yet")
        return found

    @property
    def gateway(self) -> str:
        """What containers have as their default gateway."""
        return str(self._leases.gateway(self.subnet))

    @property
    def subnets(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """One of each family that it has."""
        return (self.subnet, self._pool6.subnet) if self._pool6 else (self.subnet,)

    # --- the whole ---

    @abstractmethod
    def ensure(self) -> None:
        """Make or repair what it has in the kernel; idempotent, leaves traffic alone."""

    @abstractmethod
    def reconcile(self, live_container_ids: Collection[str]) -> None:
        """Forget all containers but these, then `ensure`."""

    def repair(self) -> bool:
        """Put right at once what others may have damaged; whether there was anything."""
        return False

    @abstractmethod
    def teardown(self) -> None:
        """Remove it from the kernel, and its leases."""

    @abstractmethod
    def close(self) -> None:
        """Give sockets back; the host stays as it is."""

    def _keep_addresses(self, network: IPv4Network) -> None:
        self._leases.set_subnet(network)
        if self._leases6:
            self._leases6.prepare()

    def _keep_only(self, live: Collection[str]) -> None:
        for container_id in self._leases.holders() - set(live):
            self.release(container_id)

    # --- endpoints ---

    def allocate(
        self,
        container_id: str,
        mac: str | None = None,
        name: str = INTERFACE,
        wanted: IPv4Address | None = None,
        wanted6: IPv6Address | None = None,
        link_local: Sequence[str] = (),
    ) -> Interface:
        """The interface that the container is to have; the same one each time until `release`.

        `wanted` and `wanted6` are addresses of its subnets, `link_local` CIDRs beside those. Invalid for a MAC that is
        none, Unavailable when a subnet is full, Denied when a wanted address is another's.
        """
        if mac is not None:
            _check_mac(mac)
        lease = self._leases.take(container_id, mac, wanted)
        network = self.subnet
        addresses, gateway6 = [f"{lease.address}/{network.prefixlen}"], None
        if self._pool6 and self._leases6:
            try:
                addresses.append(self._pool6.cidr(self._leases6.take(container_id, wanted6)))
            except BaseException:
                self._leases.drop(container_id)
                raise
            gateway6 = str(self._pool6.gateway)
        return Interface(
            name=name,
            mac=lease.mac,
            addresses=(*addresses, *link_local),
            gateway=str(self._leases.gateway(network)),
            mtu=self.mtu,
            gateway6=gateway6,
        )

    def holders(self) -> set[str]:
        """The IDs of the containers that have an address."""
        return self._leases.holders()

    def release(self, container_id: str) -> None:
        """Free the container's addresses; no error when it has none."""
        self._leases.drop(container_id)
        if self._leases6:
            self._leases6.drop(container_id)

    @abstractmethod
    def connect(self, container_id: str, interface: Interface, netns_fd: int) -> str:
        """Put `interface` into the namespace; the name of what it has on the host, "" for nothing. EngineError when the
        kernel refuses."""

    @abstractmethod
    def disconnect(self, container_id: str, shared: bool = False) -> None:
        """The container has ended; no error when it is not there.

        The kernel deletes the interface with the container's network namespace, in its own time; a namespace that is
        `shared` with others goes on without it.
        """

    # --- published ports, of those that do ---

    def reserve_port(self, *bindings: PortBinding) -> list[socket.socket]:
        """Sockets that hold one port on several addresses of the host, bound and not listening."""
        raise Unsupported(f"the network {self._key} publishes no ports")

    def publish(self, container_id: str, ip: str, bindings: Sequence[PortBinding], ip6: str = "") -> None:
        """Send the bindings' host ports to the container, in place of what it published before."""
        raise Unsupported(f"the network {self._key} publishes no ports")

    def bindings(self, container_id: str) -> tuple[PortBinding, ...]:
        """The published ports of a container, as `publish` was told them."""
        return ()

    @abstractmethod
    def unpublish(self, container_id: str) -> None:
        """Withdraw all ports of the container; no error when it has none."""


def _check_mac(mac: str) -> None:
    try:
        group = netlink.mac_bytes(mac)[0] & 1
    except ValueError as error:
        raise Invalid(f"invalid MAC address: {error}") from error
    if group:
        raise Invalid(f"invalid MAC address: {mac} is a group address: make the first octet even")
