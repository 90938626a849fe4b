"""The published ports of a bridge: rows in the state database, elements in the maps of its nftables table.

The database is what was asked for and is changed first; the table follows by a few elements, or is written
anew from the database when somebody else has changed the ruleset (a firewall restarts, and flushes what it
does not know).
"""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Collection, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network

from hostagent.errors import Conflict, Invalid, Unavailable
from hostagent.kernel import conntrack, netlink, netlink_socket, nft
from hostagent.model.network import ANY_ADDRESS6, PortBinding
from hostagent.network import ruleset
from hostagent.network.ports import taken
from hostagent.network.ruleset import OPEN, Policy, PublishedPort
from hostagent.network.tables import Tables
from hostagent.statedb.database import Database


class PublishedPorts:
    """The table of one bridge, in the network namespace in which it was made."""

    def __init__(self, db: Database, bridge: str, table: str, tables: Tables, policy: Policy = OPEN) -> None:
        self._db = db
        self._bridge = bridge
        self._table = table
        self._policy = policy
        self._tables = tables
        self._route = netlink.Socket()
        self._netfilter = netlink_socket.Socket(netlink_socket.NETLINK_NETFILTER)
        self._subnets: tuple[str, ...] = ()
        self._epoch = -1

    def close(self) -> None:
        self._route.close()
        self._netfilter.close()

    def disturbed(self) -> bool:
        """True when anybody has changed this namespace's nftables since we did (or we have not yet)."""
        return self._tables.epoch() != self._epoch

    def install(self, *subnets: IPv4Network | IPv6Network) -> None:
        """Write the whole table of each family, in place of what there is. Unavailable when nftables refuses."""
        self._subnets = tuple(map(str, subnets))
        self._install()

    def remove_table(self, ipv6: bool = False) -> None:
        """Remove the table, that of IPv6 too; no error when there is none. The rows stay."""
        self._tables.epoch()
        families = (ruleset.IPV4, ruleset.IPV6) if ipv6 else (ruleset.IPV4,)
        self._tables.run("".join(ruleset.remove_table(self._table, family) for family in families))

    def keep_only(self, container_ids: Collection[str]) -> None:
        """Forget the ports of all other containers; `install` afterwards."""
        rows = self._db.query(
            "SELECT DISTINCT container_id FROM network_ports WHERE bridge = ?", (self._bridge,)
        )
        with self._db.transaction():
            for row in rows:
                if row["container_id"] not in container_ids:
                    self._take_back(row["container_id"])

    def container_with(self, binding: PortBinding, but: str | None = None) -> str | None:
        """The ID of a container, other than `but`, that publishes what `binding` asks for."""
        address = binding.host_ip if binding.ipv6 or not binding.any_address else ""
        everywhere = ANY_ADDRESS6 if binding.ipv6 else ""
        rows = self._db.query(
            "SELECT container_id FROM network_ports WHERE bridge = ? AND proto = ? AND host_port = ? "
            "AND host_ip LIKE '%:%' = ? AND (host_ip = ? OR host_ip = ? OR ? = ?) AND container_id IS NOT ?",
            (
                *(self._bridge, binding.proto, binding.host_port, binding.ipv6),
                *(address, everywhere, address, everywhere, but),
            ),
        )
        return rows[0]["container_id"] if rows else None

    def publish(self, container_id: str, ip: str, bindings: Sequence[PortBinding], ip6: str = "") -> None:
        """Send the bindings' host ports to the container, in place of what it published before; those of IPv6
        addresses to `ip6`, if there is one (else nftables has no part in them).

        One transaction in the database and one in nftables. Invalid when a host port is still open ("any"),
        Conflict when another container has it.
        """
        ports = [_published((ip6 or ip) if binding.ipv6 else ip, binding) for binding in bindings]
        if len({(port.proto, port.host_ip, port.host_port) for port in ports}) != len(ports):
            raise Conflict("the same host port is published twice: choose another one for one of them")
        with self._db.transaction() as tx:
            for binding in bindings:
                other = self.container_with(binding, but=container_id)
                if other is not None:
                    raise taken(binding, f"container {other[:12]}")
            before = self._take_back(container_id)
            for port in ports:
                tx.execute(
                    "INSERT INTO network_ports "
                    "(bridge, container_id, proto, host_ip, host_port, container_ip, container_port) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (self._bridge, container_id, *dataclasses.astuple(port)),
                )
            self._change_table(before, ports)
        self._forget_udp_flows([*before, *ports])

    def bindings(self, container_id: str) -> tuple[PortBinding, ...]:
        """What the container publishes now."""
        rows = self._db.query(
            "SELECT proto, host_ip, host_port, container_port FROM network_ports "
            "WHERE bridge = ? AND container_id = ?",
            (self._bridge, container_id),
        )
        return tuple(PortBinding(*row) for row in rows)

    def unpublish(self, container_id: str) -> None:
        """Withdraw all ports of the container; no error when it has none."""
        with self._db.transaction():
            before = self._take_back(container_id)
            self._change_table(before, [])
        self._forget_udp_flows(before)

    def _take_back(self, container_id: str) -> list[PublishedPort]:
        rows = self._db.query(
            "DELETE FROM network_ports WHERE bridge = ? AND container_id = ? "
            "RETURNING proto, host_ip, host_port, container_ip, container_port",
            (self._bridge, container_id),
        )
        return [PublishedPort(*row) for row in rows]

    def _change_table(self, removed: Collection[PublishedPort], added: Collection[PublishedPort]) -> None:
        if not removed and not added:
            return
        # The database is right already. Somebody changed the ruleset since we did, or our elements are not as
        # we left them: write the whole table from it.
        if self.disturbed():
            self._install()
            return
        try:
            self._epoch = self._tables.run(
                ruleset.delete_ports(self._table, removed) + ruleset.add_ports(self._table, added)
            )
        except nft.NftError:
            self._install()

    def _forget_udp_flows(self, ports: Iterable[PublishedPort]) -> None:
        """Let UDP senders that never pause meet the new rules: a walk of the conntrack table, 1-10 ms."""
        changed: dict[ruleset.Family, set[int]] = {}
        for port in ports:
            if port.proto == "udp":
                changed.setdefault(port.family, set()).add(port.host_port)
        for family, numbers in changed.items():
            number = socket.AF_INET6 if family is ruleset.IPV6 else socket.AF_INET
            # A flow to the same port of another host, passing through, is none of ours.
            own = {address.partition("/")[0] for address in self._route.addresses(family=number)}
            flows = conntrack.udp_flows(self._netfilter, numbers, number)
            conntrack.forget(
                self._netfilter,
                [flow for flow in flows if flow.address in own or flow.address.startswith("127.")],
            )

    def _install(self) -> None:
        if not self._subnets:
            raise Unavailable(f"the bridge {self._bridge} is not set up yet")
        rows = self._db.query(
            "SELECT proto, host_ip, host_port, container_ip, container_port "
            "FROM network_ports WHERE bridge = ?",
            (self._bridge,),
        )
        ports = [PublishedPort(*row) for row in rows]
        self._tables.epoch()
        text = ruleset.replace_tables(self._table, self._bridge, self._subnets, ports, self._policy)
        try:
            self._epoch = self._tables.run(text)
        except nft.NftError as error:
            raise Unavailable(f"nftables refuses the table {self._table}: {error}") from error


def _published(ip: str, binding: PortBinding) -> PublishedPort:
    if not binding.host_port or binding.host_port_end:
        raise Invalid(f"{binding}: reserve a host port before publishing it")
    return PublishedPort(
        proto=binding.proto,
        host_ip=binding.host_ip if binding.ipv6 or not binding.any_address else "",
        host_port=binding.host_port,
        container_ip=ip,
        container_port=binding.container_port,
    )
