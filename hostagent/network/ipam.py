"""Addresses: which subnet a bridge gets, and which address of it each container has."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from hostagent.errors import Conflict, Denied, Invalid, Unavailable
from hostagent.statedb.database import Database

GATEWAY = ""  # the lease of the bridge itself carries this in place of a container's ID
RESERVED = "reserved:"  # and those of auxiliary addresses begin with this


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


@dataclass(frozen=True)
class Pool:
    """How a user cut a subnet: its gateway, the range that containers get addresses from, who is reserved (by name)."""

    subnet: IPv4Network
    gateway: IPv4Address
    range: IPv4Network | None = None
    reserved: Mapping[str, str] = field(default_factory=dict)


class Leases:
    """The leases of one bridge, kept in the state database. `pool` None: all of the subnet, its first address first."""

    def __init__(self, db: Database, bridge: str, pool: Pool | None = None) -> None:
        self._db = db
        self._bridge = bridge
        self._subnet: IPv4Network | None = None
        """What `subnet` has found: every start asks."""
        self._pool = pool

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
            reserved = self._pool.reserved if self._pool else {}
            for holder, address in (
                (GATEWAY, self.gateway(network)),
                *((RESERVED + name, IPv4Address(text)) for name, text in reserved.items()),
            ):
                tx.execute(
                    "INSERT INTO network_leases VALUES (?, ?, ?, ?)",
                    (self._bridge, int(address), holder, mac_for(address)),
                )

    def gateway(self, network: IPv4Network) -> IPv4Address:
        """The bridge's own address in `network`."""
        return self._pool.gateway if self._pool else gateway_of(network)

    def take(self, container_id: str, mac: str | None, wanted: IPv4Address | None = None) -> Lease:
        """The container's lease: what it has, or the wanted or lowest free address.

        Unavailable when none is free, Denied when the wanted one is another's.
        """
        with self._db.transaction() as tx:
            held = self._find(container_id)
            if held is not None and mac in (None, held.mac) and wanted in (None, held.address):
                return held
            if wanted is not None:
                address = self._free(container_id, wanted)
            else:
                address = held.address if held is not None else self._lowest_free()
            if held is not None:
                self.drop(container_id)
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
        return {row["container_id"] for row in rows if not row["container_id"].startswith(RESERVED)} - {
            GATEWAY
        }

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

    def _free(self, container_id: str, wanted: IPv4Address) -> IPv4Address:
        if self._holder(int(wanted)) not in (None, container_id):
            raise Denied("Address already in use")
        return wanted

    def _holder(self, address: int) -> str | None:
        rows = self._db.query(
            "SELECT container_id FROM network_leases WHERE bridge = ? AND address = ?",
            (self._bridge, address),
        )
        return str(rows[0]["container_id"]) if rows else None

    def _lowest_free(self) -> IPv4Address:
        network = self.subnet()
        if network is None:
            raise Unavailable(f"the bridge {self._bridge} is not set up yet")
        # The broadcast address, the last one, is nobody's, and so is the network's, the first.
        low, high = int(network.network_address) + 1, int(network.broadcast_address)
        if self._pool:
            if self._pool.range:
                low = max(low, int(self._pool.range.network_address))
                high = min(high, int(self._pool.range.broadcast_address) + 1)
            if self._holder(low) is None and low < high:
                return IPv4Address(low)
        # The first address is taken (without a pool by the gateway), so the lowest free one follows a taken one.
        rows = self._db.query(
            "SELECT address + 1 AS free FROM network_leases AS taken "
            "WHERE bridge = ? AND address >= ? AND address + 1 < ? "
            "AND NOT EXISTS (SELECT 1 FROM network_leases AS next "
            "WHERE next.bridge = taken.bridge AND next.address = taken.address + 1) ORDER BY address LIMIT 1",
            (self._bridge, low, high),
        )
        if not rows:
            raise Unavailable(
                f"no free address is left in {network} of the bridge {self._bridge}: remove containers, "
                "or give the bridge a larger subnet"
            )
        return IPv4Address(rows[0]["free"])
