"""IPv6 addresses of a bridge: which address each container has. Beside ipam.py, whose leases carry the MACs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network

from hostagent.errors import Denied, Unavailable
from hostagent.network.ipam import GATEWAY, RESERVED
from hostagent.statedb.database import Database


@dataclass(frozen=True)
class Pool6:
    """How a subnet is cut: its gateway, the range that containers get addresses from, who is reserved (by name)."""

    subnet: IPv6Network
    gateway: IPv6Address
    range: IPv6Network | None = None
    reserved: Mapping[str, str] = field(default_factory=dict)

    def cidr(self, address: IPv6Address) -> str:
        """An address of it with the subnet's prefix."""
        return f"{address}/{self.subnet.prefixlen}"


class Leases6:
    """The IPv6 leases of one bridge, in the state database. The bridge itself is in network_bridges already."""

    def __init__(self, db: Database, bridge: str, pool: Pool6) -> None:
        self._db = db
        self._bridge = bridge
        self._pool = pool

    def prepare(self) -> None:
        """The leases that are nobody's: the gateway's and the reserved ones."""
        with self._db.transaction() as tx:
            for holder, address in (
                (GATEWAY, self._pool.gateway),
                *((RESERVED + name, IPv6Address(text)) for name, text in self._pool.reserved.items()),
            ):
                tx.execute(
                    "INSERT OR IGNORE INTO network_leases6 VALUES (?, ?, ?)",
                    (self._bridge, address.packed, holder),
                )

    def take(self, container_id: str, wanted: IPv6Address | None = None) -> IPv6Address:
        """What the container has, or the wanted or lowest free address.

        Unavailable when none is free, Denied when the wanted one is another's.
        """
        with self._db.transaction() as tx:
            held = self._db.query(
                "SELECT address FROM network_leases6 WHERE bridge = ? AND container_id = ?",
                (self._bridge, container_id),
            )
            found = IPv6Address(held[0]["address"]) if held else None
            if found is not None and wanted in (None, found):
                return found
            address = self._free(wanted) if wanted else self._lowest_free()
            self.drop(container_id)
            tx.execute(
                "INSERT INTO network_leases6 VALUES (?, ?, ?)", (self._bridge, address.packed, container_id)
            )
            return address

    def drop(self, container_id: str) -> None:
        """Free the container's address; no error when it has none."""
        self._db.execute(
            "DELETE FROM network_leases6 WHERE bridge = ? AND container_id = ?", (self._bridge, container_id)
        )

    def _free(self, wanted: IPv6Address) -> IPv6Address:
        rows = self._db.query(
            "SELECT 1 FROM network_leases6 WHERE bridge = ? AND address = ?", (self._bridge, wanted.packed)
        )
        if rows:
            raise Denied("Address already in use")
        return wanted

    def _lowest_free(self) -> IPv6Address:
        pool = self._pool
        # The first address means "any router" (RFC 4291, 2.6.1).
        low, high = int(pool.subnet.network_address) + 1, int(pool.subnet.broadcast_address)
        if pool.range:
            low = max(low, int(pool.range.network_address))
            high = int(pool.range.broadcast_address)
        rows = self._db.query(
            "SELECT address FROM network_leases6 WHERE bridge = ? AND address >= ? ORDER BY address",
            (self._bridge, IPv6Address(low).packed),
        )
        for row in rows:  # a bridge takes 1,023 interfaces
            if int.from_bytes(row["address"], "big") > low:
                break
            low += 1
        if low > high:
            raise Unavailable(
                f"no free address is left in {pool.range or pool.subnet} of the bridge {self._bridge}: remove "
                "containers, or give the bridge a larger subnet"
            )
        return IPv6Address(low)
