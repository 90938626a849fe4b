"""All networks of this host that carry containers: the default bridge, and those that users defined, by ID and name.

Rows in SQLite are what was asked for; the bridges and their tables follow from them and are made again at the
engine's start.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import msgspec
from msgspec.structs import replace

from hostagent.errors import Conflict, Denied, EngineError, NotFound, Unsupported
from hostagent.kernel import netlink
from hostagent.network import addressing, ipam, network, ruleset
from hostagent.network.bridge import BridgeNetwork, Plan
from hostagent.network.driver import Driver
from hostagent.network.ipam6 import Pool6
from hostagent.network.macvlan import MacvlanNetwork, MacvlanPlan
from hostagent.network.network import Network
from hostagent.network.tables import Tables
from hostagent.statedb.database import Database
from hostagent.wire import NetworkCreate

log = logging.getLogger(__name__)


class Bridges:
    """`default` is the bridge network that everybody has, `table` its bridge's name and its table's; `tables` is what
    it shares with the others.
    """

    def __init__(self, database: Database, default: BridgeNetwork, tables: Tables, table: str) -> None:
        self.default = default
        self.default_name = table
        self._database = database
        self._tables = tables
        self._table = table
        self._networks: dict[str, Network] = {}
        self._bridges: dict[str, Driver] = {}
        for row in database.query("SELECT definition FROM networks"):
            self._index(msgspec.json.decode(row["definition"], type=Network))

    def close(self) -> None:
        """Give sockets back; the host stays as it is."""
        for bridge in self._bridges.values():
            bridge.close()

    def all(self) -> list[Network]:
        """Those of users, in order of their creation."""
        return sorted(self._networks.values(), key=lambda each: each.created_ns)

    def find(self, reference: str) -> Network:
        """By full ID, name, or unambiguous beginning of the ID. Raises NotFound and Conflict in Docker's words."""
        if found := self._networks.get(reference):
            return found
        for each in self._networks.values():
            if each.name == reference:
                return each
        matching = [each for each in self._networks.values() if reference and each.id.startswith(reference)]
        if len(matching) > 1:
            raise Conflict(
                f"network {reference} is ambiguous ({len(matching)} matches found based on ID prefix)"
            )
        if not matching:
            raise NotFound(f"network {reference} not found")
        return matching[0]

    def bridge(self, network_id: str) -> Driver:
        """Of a user's network, by full ID."""
        return self._bridges[network_id]

    def create(self, body: NetworkCreate, network_id: str, created_ns: int) -> Network:
        """Row, bridge and table of a new network, or an error in Docker's words and nothing."""
        wanted = network.check(body)
        if any(each.name == body.name for each in self._networks.values()):
            raise Conflict(f"network with name {body.name} already exists")
        subnet6 = self._subnet6(wanted.subnet6) if wanted.enable_ipv6 else None
        made = network.settle(body, wanted, network_id, created_ns, self._subnet(wanted.subnet), subnet6)
        if made.driver == "macvlan":
            self._check_parent(made)
        else:
            made = replace(made, given=self._check_bridge(made))
        bridge = self._index(made)
        try:
            self._database.execute(
                "INSERT INTO networks VALUES (?, ?, ?)", (made.id, made.name, msgspec.json.encode(made))
            )
            bridge.ensure()
        except BaseException:
            self.remove(made)
            raise
        return made

    def remove(self, doomed: Network) -> None:
        """Bridge, table, leases and row."""
        bridge = self._bridges.pop(doomed.id)
        del self._networks[doomed.id]
        try:
            bridge.teardown()
        finally:
            bridge.close()
            self._database.execute("DELETE FROM networks WHERE id = ?", (doomed.id,))

    def reconcile(self, live: Collection[str]) -> None:
        """At the engine's start: bridges and tables as the rows say, leases of `live` containers (IDs) only.

        A network that cannot be made is told of, and does not keep the engine from its work.
        """
        for network_id, bridge in self._bridges.items():
            try:
                bridge.reconcile(live)
            except (EngineError, OSError) as error:
                log.error("network %s: %s", self._networks[network_id].name, error)

    def repair(self) -> bool:
        """Write tables anew where somebody else has changed the ruleset; whether one was."""
        repaired = [each.repair() for each in (self.default, *self._bridges.values())]
        return any(repaired)

    def teardown(self) -> None:
        """Take the bridges and tables of all users' networks out of the kernel; their rows stay."""
        for bridge in self._bridges.values():
            bridge.teardown()

    def _index(self, made: Network) -> Driver:
        driver = self._macvlan(made) if made.driver == "macvlan" else self._bridge(made)
        self._networks[made.id] = made
        self._bridges[made.id] = driver
        return driver

    def _macvlan(self, made: Network) -> Driver:
        plan = MacvlanPlan(
            network_id=made.id,
            pool=_pool(made),
            pool6=_pool6(made.ipv6) if made.ipv6 else None,
            parent=made.parent,
            mode=made.mode,
            mtu=made.mtu,
        )
        return MacvlanNetwork(self._database, plan)

    def _bridge(self, made: Network) -> Driver:
        plan = Plan(
            network_id=made.id,
            pool=_pool(made),
            pool6=_pool6(made.ipv6) if made.ipv6 else None,
            policy=ruleset.Policy(
                internal=made.internal,
                masquerade=made.masquerade and not made.internal,
                metadata=made.metadata,
            ),
            mtu=made.mtu,
            isolated=not made.icc,
            addressless=made.addressless,
            given=made.given,
        )
        table = f"{self._table}-{made.id[:12]}"
        return BridgeNetwork(self._database, made.bridge, table, plan=plan, tables=self._tables)

    def _subnet(self, wanted: IPv4Network | None) -> IPv4Network:
        """The wanted one, which may be the host's own affair, or one that neither it nor any network has."""
        taken = [IPv4Network(each.subnet) for each in self._networks.values()] + [self.default.subnet]
        if wanted is None:
            with netlink.Socket() as kernel:
                routed = [IPv4Network(route.destination) for route in kernel.routes()]
            return ipam.choose_subnet([*taken, *routed])
        if any(wanted.overlaps(other) for other in taken):
            raise Denied("Pool overlaps with other one on this address space")
        return wanted

    def _subnet6(self, wanted: IPv6Network | None) -> IPv6Network:
        """The same for IPv6."""
        if wanted is None:
            return addressing.unique_local()
        if any(each.ipv6 and wanted.overlaps(IPv6Network(each.ipv6.subnet)) for each in self.all()):
            raise Denied("Pool overlaps with other one on this address space")
        return wanted

    def _check_parent(self, made: Network) -> None:
        for each in self._networks.values():
            if each.parent == made.parent:
                raise EngineError(f"network {each.bridge} is already using parent interface {made.parent}")
        if made.parent == made.bridge:
            return  # it makes one of its own
        with netlink.Socket() as kernel:
            if kernel.link(made.parent) is not None:
                return
        above, dot, number = made.parent.rpartition(".")
        if not dot:
            raise EngineError(
                f"invalid subinterface vlan name {made.parent}, example formatting is eth0.10: the host has no such "
                "interface"
            )
        raise Unsupported(
            f"the host has no interface {made.parent}, and this engine makes none: "
            f"ip link add link {above} name {made.parent} type vlan id {number}"
        )

    def _check_bridge(self, made: Network) -> bool:
        """Whether the host has it already."""
        taken = {each.bridge: each.id for each in self._networks.values()} | {self.default_name: "bridge"}
        if other := taken.get(made.bridge):
            raise Denied(
                f"cannot create network {made.id} ({made.bridge}): conflicts with network {other} "
                f"({made.bridge}): networks have same bridge name"
            )
        with netlink.Socket() as kernel:
            link = kernel.link(made.bridge)
        if link is not None and link.kind != "bridge":
            raise EngineError(f"existing interface {made.bridge} is not a bridge")
        return link is not None


def _pool(made: Network) -> ipam.Pool:
    return ipam.Pool(
        subnet=IPv4Network(made.subnet),
        gateway=IPv4Address(made.gateway),
        range=IPv4Network(made.ip_range) if made.ip_range else None,
        reserved=made.reserved,
    )


def _pool6(block: addressing.Block) -> Pool6:
    return Pool6(
        subnet=IPv6Network(block.subnet),
        gateway=IPv6Address(block.gateway),
        range=IPv6Network(block.ip_range) if block.ip_range else None,
        reserved=block.reserved,
    )
