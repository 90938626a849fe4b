"""A macvlan network: containers have addresses of their own on the LAN of one of the host's interfaces.

An interface in a container is made straight in its namespace; the host has nothing for it but the parent. Without a
parent the network is an island: a veth pair that nobody else uses. The host itself does not reach its containers
through the parent (that is how macvlan works), its firewall does not see their packets, and no port is published.
Source: linux/if_link.h.
"""

from __future__ import annotations

import errno
from collections.abc import Collection
from dataclasses import dataclass

from hostagent.errors import EngineError, Unavailable, Unsupported
from hostagent.kernel import netlink
from hostagent.model.network import Interface
from hostagent.network import ipam
from hostagent.network.driver import Driver
from hostagent.network.ipam6 import Pool6
from hostagent.statedb.database import Database

ISLAND_PREFIX, FAR_PREFIX = "dm-", "dn-"
"""Of the veth pair that a network without a parent has; the first is its parent."""


def island(network_id: str) -> str:
    """The parent's name of a network without one, as Docker calls it."""
    return ISLAND_PREFIX + network_id[:12]


@dataclass(frozen=True)
class MacvlanPlan:
    """What the user decided. `mode` is of netlink.MACVLAN_MODES; `mtu` in bytes, 0: as the parent's."""

    network_id: str
    pool: ipam.Pool
    parent: str
    mode: str
    pool6: Pool6 | None = None
    mtu: int = 0


class MacvlanNetwork(Driver):
    """One network, in the network namespace in which it was made."""

    def __init__(self, db: Database, plan: MacvlanPlan) -> None:
        super().__init__(db, island(plan.network_id), plan.pool, plan.pool6)
        self._plan = plan
        self._island = plan.parent == island(plan.network_id)
        self._route = netlink.Socket()
        self._mtu = plan.mtu

    def close(self) -> None:
        self._route.close()

    @property
    def mtu(self) -> int:
        return self._mtu

    def ensure(self) -> None:
        """Unavailable when the parent is not there, or is in another engine's hands."""
        self._keep_addresses(self._plan.pool.subnet)
        if self._island:
            self._ensure_island()
        parent = self._parent()
        self._mtu = self._plan.mtu or parent.mtu

    def _parent(self) -> netlink.Link:
        found = self._route.link(self._plan.parent)
        if found is None:
            raise Unavailable(
                f"the parent interface {self._plan.parent} of the network is not there: make it on the host, or make "
                "the network anew with another one"
            )
        return found

    def _ensure_island(self) -> None:
        near, far = self._plan.parent, FAR_PREFIX + self._plan.network_id[:12]
        if self._route.link(near) is None:
            self._route.request(netlink.new_pair(near, far))
        for name in (near, far):
            self._route.request(netlink.no_ipv6_address(name=name), ignore=netlink.NO_IPV6)
            self._route.request(netlink.link_up_by_name(name))

    def reconcile(self, live_container_ids: Collection[str]) -> None:
        self._keep_only(live_container_ids)
        self.ensure()

    def teardown(self) -> None:
        """A parent of the user's stays."""
        if self._island:
            self._route.request(netlink.delete_link(self._plan.parent), ignore=netlink.GONE)
        self._leases.forget_bridge()

    def connect(self, container_id: str, interface: Interface, netns_fd: int) -> str:
        parent = self._parent()
        try:
            if not parent.up:
                self._route.request(netlink.link_up(parent.index))
            self._route.request(netlink.new_macvlan(parent.index, self._plan.mode, interface, netns_fd))
        except OSError as error:
            raise self._not_connected(container_id, error) from error
        return ""

    def _not_connected(self, container_id: str, error: OSError) -> EngineError:
        what = f"cannot connect container {container_id[:12]} to {self._plan.parent}"
        if error.errno == errno.EOPNOTSUPP:
            return Unsupported(f"{what}: this host's kernel has no macvlan")
        if error.errno == errno.EBUSY:
            return EngineError(
                f"{what}: it belongs to a bridge, or to something else that has all of its packets"
            )
        return EngineError(f"{what}: {error.strerror}")

    def unpublish(self, container_id: str) -> None:
        """There are none."""

    def disconnect(self, container_id: str, shared: bool = False) -> None:
        """There is nothing on the host, and the interface goes with its namespace."""
