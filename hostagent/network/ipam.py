"""Addresses: which subnet a bridge gets, and which address of it each container has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from hostagent.errors import Conflict, Invalid, Unavailable
from hostagent.statedb.database import Database

GATEWAY = ""  # the lease of the bridge itself carries this in place of a container's ID


def candidates() -> Iterator[IPv4Network]:
    """The private networks that a bridge may get, in Docker's order of preference."""
    for second in range(17, 32):
        yield IPv4Network((f"172.{second}.0.0", 16))
    yield from IPv4Network("192.168.0.0/16").subnets(new_prefix=20)
    # Where VPN and VPC between them route all of the above.
    yield from IPv4Network("10.0.0.0/8").subnets(new_prefix=16)


def choose_subnet(routed: Collection[IPv4Network], wanted: str | None = None) -> IPv4Network:
    """A subnet that meets none of the `routed` networks: `wanted`, or the first candidate.

    Invalid when `wanted` is not an IPv4 network with room for containers, Conflict when it is routed
    elsewhere, Unavailable when nothing is left.
    """
    others = [network for network in routed if network.prefixlen > 0]
    if wanted is not None:
        try:
            network = IPv4Network(wanted)
        except ValueError as error:
            raise Invalid(f"subnet {wanted}: {error}: give an IPv4 network such as 10.88.0.0/16") from error
        if network.prefixlen > 29:
            raise Invalid(f"subnet {wanted} has no room for containers: give a /29 or larger")
        for other in others:
            if network.overlaps(other):
                raise Conflict(f"subnet {wanted} overlaps the host's route to {other}: choose another subnet")
        return network
    for network in candidates():
        if not any(network.overlaps(other) for other in others):
            return network
    raise Unavailable("every private network is routed elsewhere on this host: give the bridge a subnet")


def gateway_of(network: IPv4Network) -> IPv4Address:
    """The bridge's own address: the first of its subnet."""
    return network.network_address + 1


def mac_for(address: IPv4Address) -> str:
    """The MAC of an address (Docker's rule): neighbours' caches stay right when the address is re-used."""
    return (b"\x02\x42" + address.packed).hex(":")


@dataclass(frozen=True)
class Lease:
    """A container's address and MAC."""

    address: IPv4Address
    mac: str


class Leases:
    """The leases of one bridge, kept in the state database."""

    def __init__(self, db: Database, bridge: str) -> None:
        self._db = db
        self._bridge = bridge
        self._subnet: IPv4Network | None = None
        """What `subnet` has found: every start asks."""

    def subnet(self) -> IPv4Network | None:
        """The subnet that the bridge was given, or None before the first time."""
        if self._subnet is None:
            rows = self._db.query("SELECT subnet FROM network_bridges WHERE name = ?", (self._bridge,))
            self._subnet = IPv4Network(rows[0]["subnet"]) if rows else None
        return self._subnet

    def set_subnet(self, network: IPv4Network) -> None:
        """Give the bridge a subnet. Leases and ports of another one are forgotten."""
        if self.subnet() == network:
            return
        self._subnet = None
        with self._db.transaction() as tx:
            tx.execute("DELETE FROM network_bridges WHERE name = ?", (self._bridge,))
            tx.execute("INSERT INTO network_bridges VALUES (?, ?)", (self._bridge, str(network)))
            gateway = gateway_of(network)
            tx.execute(
                "INSERT INTO network_leases VALUES (?, ?, ?, ?)",
                (self._bridge, int(gateway), GATEWAY, mac_for(gateway)),
            )

    def take(self, container_id: str, mac: str | None) -> Lease:
        """The container's lease: what it has, or the lowest free address. Unavailable when none is free."""
        with self._db.transaction() as tx:
            held = self._find(container_id)
            if held is not None and mac in (None, held.mac):
                return held
            address = held.address if held is not None else self._lowest_free()
            lease = Lease(address, mac or mac_for(address))
            tx.execute(
                "INSERT OR REPLACE INTO network_leases VALUES (?, ?, ?, ?)",
                (self._bridge, int(address), container_id, lease.mac),
            )
            return lease

    def drop(self, container_id: str) -> None:
        """Free the container's address; no error when it has none."""
        self._db.execute(
            "DELETE FROM network_leases WHERE bridge = ? AND container_id = ?", (self._bridge, container_id)
        )

    def holders(self) -> set[str]:
        """The IDs of the containers that have an address."""
        rows = self._db.query("SELECT container_id FROM network_leases WHERE bridge = ?", (self._bridge,))
        return {row["container_id"] for row in rows} - {GATEWAY}

    def drop_all(self, container_ids: Iterable[str]) -> None:
        """`drop` for many, in one transaction."""
        with self._db.transaction():
            for container_id in container_ids:
                self.drop(container_id)

    def forget_bridge(self) -> None:
        """Remove the bridge with its leases and ports (ON DELETE CASCADE)."""
        self._subnet = None
        self._db.execute("DELETE FROM network_bridges WHERE name = ?", (self._bridge,))

    def _find(self, container_id: str) -> Lease | None:
        rows = self._db.query(
            "SELECT address, mac FROM network_leases WHERE bridge = ? AND container_id = ?",
            (self._bridge, container_id),
        )
        return Lease(IPv4Address(rows[0]["address"]), rows[0]["mac"]) if rows else None

    def _lowest_free(self) -> IPv4Address:
        network = self.subnet()
        if network is None:
            raise Unavailable(f"the bridge {self._bridge} is not set up yet")
        # The gateway has the first address and a lease, so the lowest free one follows a taken one. The
        # broadcast address, the last one, is nobody's.
        rows = self._db.query(
            "SELECT address + 1 AS free FROM network_leases AS taken WHERE bridge = ? AND address + 1 < ? "
            "AND NOT EXISTS (SELECT 1 FROM network_leases AS next "
            "WHERE next.bridge = taken.bridge AND next.address = taken.address + 1) ORDER BY address LIMIT 1",
            (self._bridge, int(network.broadcast_address)),
        )
        if not rows:
            raise Unavailable(
                f"no free address is left in {network} of the bridge {self._bridge}: remove containers, "
                "or give the bridge a larger subnet"
            )
        return IPv4Address(rows[0]["free"])
