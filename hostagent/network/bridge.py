"""A bridge network, the default one or a user's: a Linux bridge, addresses, published ports, outbound NAT.

What was asked for is in the state database (ipam.py, the table network_ports); the bridge, the veths and the
nftables table follow from it and are put right whenever they are found to differ. All calls are synchronous
and short (well under a millisecond each, except `ensure` and `teardown`); none enters a namespace or starts a
process.
"""

from __future__ import annotations

import errno
import hashlib
import re
import socket
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from hostagent.errors import Conflict, EngineError, Invalid, Unavailable
from hostagent.kernel import netlink, netlink_socket
from hostagent.model.network import Interface, PortBinding
from hostagent.network import hostsettings, ipam, ruleset
from hostagent.network.driver import Driver
from hostagent.network.ipam6 import Pool6
from hostagent.network.ports import PortReserver
from hostagent.network.published import PublishedPorts
from hostagent.network.tables import Tables
from hostagent.statedb.database import Database

USUAL_MTU = 1500

# Interfaces with these prefixes on the host are ours: in use, and waiting for the kernel to delete them.
LIVE_PREFIX, RETIRED_PREFIX = "pm-", "pmx-"


def host_interface(container_id: str) -> str:
    """The name of a container's end on the host: with the short ID, 15 characters, the kernel's limit."""
    return LIVE_PREFIX + container_id[:12]


def further_interface(container_id: str, network_id: str) -> str:
    """The same for a user-defined network: a container has one on each of its networks."""
    return LIVE_PREFIX + hashlib.sha256(f"{container_id}{network_id}".encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Plan:
    """What the user decided about a network; its bridge never gets another subnet."""

    network_id: str
    pool: ipam.Pool
    policy: ruleset.Policy
    pool6: Pool6 | None = None
    """None: no IPv6."""
    mtu: int = 0
    """Bytes; 0: as the host's uplink."""
    isolated: bool = False
    """The containers may not talk to each other."""
    addressless: bool = False
    """The bridge gets no IPv4 address."""
    given: bool = False
    """The bridge is the user's: it keeps what it has, and stays when the network goes."""


class BridgeNetwork(Driver):
    """One bridge with its containers, in the network namespace in which it was made.

    `subnet` None lets it choose one that the host does not route elsewhere, and keep it. Unavailable when
    nftables is missing. `tables` is shared with other bridges, `policy` is for one without a plan. `close` changes
    nothing on the host.
    """

    publishes = True

    def __init__(
        self,
        db: Database,
        bridge_name: str,
        table_name: str,
        subnet: str | None = None,
        plan: Plan | None = None,
        tables: Tables | None = None,
        policy: ruleset.Policy = ruleset.OPEN,
    ) -> None:
        if plan is None and not re.fullmatch(r"[a-z][a-z0-9_-]{0,14}", bridge_name):
            raise Invalid(
                f"bridge name {bridge_name!r}: give up to 15 small letters, digits, - and _, a letter first"
            )
        super().__init__(db, bridge_name, plan.pool if plan else None, plan.pool6 if plan else None)
        self._bridge = bridge_name
        self._wanted_subnet = subnet
        self._plan = plan
        self._route = netlink.Socket()
        shared = tables or Tables()
        self._own_tables = None if tables else shared
        self._ports = PublishedPorts(db, bridge_name, table_name, shared, plan.policy if plan else policy)
        self._reserver = PortReserver(self._ports.container_with)
        self._index = 0
        self._mtu = USUAL_MTU
        self._hairpin = False

    def close(self) -> None:
        self._ports.close()
        self._route.close()
        if self._own_tables:
            self._own_tables.close()

    @property
    def mtu(self) -> int:
        return self._mtu

    def interface_on_host(self, container_id: str) -> str:
        """The name of a container's end on the host."""
        if self._plan:
            return further_interface(container_id, self._plan.network_id)
        return host_interface(container_id)

    # --- the whole ---

    def ensure(self) -> None:
        """Make or repair the bridge, its address, the sysctls and the table; idempotent, leaves traffic
        alone.

        Conflict when the subnet or the bridge's name is used otherwise, Unavailable when the host does not
        allow it.
        """
        links = self._route.links()
        bridge = next((link for link in links if link.name == self._bridge), None)
        if bridge is not None and bridge.kind != "bridge":
            raise Conflict(f"the interface {self._bridge} exists and is no bridge: choose another name")
        routes = self._route.routes()
        if self._plan:
            network = self._plan.pool.subnet
        else:
            network = self._settle_subnet(routes, bridge.index if bridge is not None else 0)
        if self._pool6:
            hostsettings.need_ipv6()
        self._keep_addresses(network)
        self._mtu = (self._plan.mtu if self._plan else 0) or _uplink_mtu(links, routes)
        self._index = self._ensure_bridge(bridge, network)
        hostsettings.forward_ipv4(self._bridge)
        if self._pool6:
            self._set_up_ipv6(self._pool6)
        else:
            hostsettings.no_ipv6(self._bridge)
        self._hairpin = hostsettings.bridged_packets_meet_tables()
        self._collect_ports(links)
        self._install()

    def _install(self) -> None:
        self._ports.install(*self.subnets)

    def _settle_subnet(self, routes: Sequence[netlink.Route], own_index: int) -> IPv4Network:
        foreign = [
            IPv4Network(route.destination) for route in routes if not own_index or route.link != own_index
        ]
        kept = self._leases.subnet()
        if kept is not None and self._wanted_subnet in (None, str(kept)):
            # Containers have addresses of it: a route that came later does not move them.
            if self._leases.holders() or not any(
                kept.overlaps(other) for other in foreign if other.prefixlen
            ):
                return kept
        elif kept is not None and self._leases.holders():
            raise Conflict(
                f"containers of the bridge {self._bridge} have addresses in {kept}: "
                f"remove them before you give it {self._wanted_subnet}"
            )
        return ipam.choose_subnet(foreign, self._wanted_subnet)

    def _ensure_bridge(self, bridge: netlink.Link | None, network: IPv4Network) -> int:
        gateway = self._leases.gateway(network)
        try:
            if bridge is None:
                self._route.request(netlink.new_bridge(self._bridge, ipam.mac_for(gateway), self._mtu))
                bridge = self._route.link(self._bridge)
                if bridge is None:
                    raise Unavailable(f"the bridge {self._bridge} was removed while it was being made")
            own = [] if self._plan and self._plan.addressless else [f"{gateway}/{network.prefixlen}"]
            stale = [found for found in self._route.addresses(bridge.index) if found not in own]
            if self._plan and self._plan.given:
                stale = []
            self._route.request(
                *(netlink.delete_address(bridge.index, found) for found in stale),
                *(netlink.new_address(bridge.index, address) for address in own),
                netlink.link_up(bridge.index),
            )
        except OSError as error:
            raise Unavailable(
                f"cannot set up the bridge {self._bridge} with {network}: {error.strerror}"
            ) from error
        return bridge.index

    def _set_up_ipv6(self, pool: Pool6) -> None:
        hostsettings.forward_ipv6(self._bridge, self._route)
        try:
            self._route.request(netlink.new_address(self._index, pool.cidr(pool.gateway)))
        except OSError as error:
            raise Unavailable(
                f"cannot set up the bridge {self._bridge} with {pool.subnet}: {error.strerror}"
            ) from error

    def _collect_ports(self, links: Sequence[netlink.Link]) -> None:
        """Containers that live on lose their bridge when somebody deletes it: put them on the new one."""
        ours = {self.interface_on_host(container_id) for container_id in self._leases.holders()}
        for link in links:
            if link.name in ours and link.master != self._index:
                # ENODEV: its container has just ended.
                self._route.request(netlink.enslave(link.index, self._index), ignore={errno.ENODEV})
                if self._hairpin:
                    self._route.request(netlink.hairpin(link.name), ignore={errno.ENODEV})

    def repair(self) -> bool:
        """The table, when somebody else has changed the ruleset."""
        if self._index == 0 or not self._ports.disturbed():
            return False
        self._install()
        return True

    def teardown(self) -> None:
        """Remove the table, the bridge, its veths, and every lease and port; ip_forward stays as it is."""
        self._ports.remove_table(ipv6=self._pool6 is not None)
        bridge = self._route.link(self._bridge)
        if bridge is not None:
            bridges = [] if self._plan and self._plan.given else [self._bridge]
            self._delete_links([*self._own_links(bridge.index), *bridges])
        self._leases.forget_bridge()
        self._index = 0

    def reconcile(self, live_container_ids: Collection[str]) -> None:
        """Drop the leases, ports and veths of all containers but these, then `ensure`."""
        live = set(live_container_ids)
        self._keep_only(live)
        self._ports.keep_only(live)
        self.ensure()
        keep = {self.interface_on_host(container_id) for container_id in live}
        self._delete_links([name for name in self._own_links(self._index) if name not in keep])

    def _own_links(self, bridge_index: int) -> list[str]:
        # A retired one is still there when something holds its container's namespace open.
        return [
            link.name
            for link in self._route.links()
            if link.name.startswith(RETIRED_PREFIX)
            or (link.name.startswith(LIVE_PREFIX) and link.master == bridge_index)
        ]

    def _delete_links(self, names: Sequence[str]) -> None:
        # One datagram, but not more than the socket's buffer holds acknowledgements for.
        for start in range(0, len(names), 64):
            part = names[start : start + 64]
            self._route.request(*(netlink.delete_link(name) for name in part), ignore={errno.ENODEV})

    # --- endpoints ---

    def connect(self, container_id: str, interface: Interface, netns_fd: int) -> str:
        """Put `interface` into the namespace and its other end on the bridge; returns the name of that end.

        A table that somebody has changed is written anew, a bridge that is gone is made again. EngineError when
        the kernel refuses.
        """
        if self._index == 0:
            self.ensure()
        elif self._ports.disturbed():
            self._install()
        name = self.interface_on_host(container_id)
        for last_try in (False, True):
            try:
                self._route.request(*self._endpoint(name, interface, netns_fd), ignore=netlink.NO_IPV6)
                return name
            except OSError as error:
                if last_try or error.errno == errno.EXFULL:
                    raise self._not_connected(container_id, error) from error
                if error.errno == errno.EEXIST:
                    # Left from a daemon that was killed between the container's end and `disconnect`.
                    self._delete_links([name])
                else:
                    self.ensure()
        raise AssertionError("the second try returns or raises")

    def _endpoint(self, name: str, interface: Interface, netns_fd: int) -> Iterator[netlink_socket.Message]:
        yield netlink.new_veth(name, self._index, interface, netns_fd)
        yield netlink.no_ipv6_address(name=name)
        yield netlink.link_up_by_name(name)
        if self._hairpin:
            yield netlink.hairpin(name)
        if self._plan and self._plan.isolated:
            yield netlink.isolate(name)

    def _not_connected(self, container_id: str, error: OSError) -> EngineError:
        why = error.strerror
        if error.errno == errno.EXFULL:
            why = "the bridge is full: Linux allows 1,023 interfaces on one"
        return EngineError(
            f"cannot connect container {container_id[:12]} to the bridge {self._bridge}: {why}"
        )

    def disconnect(self, container_id: str, shared: bool = False) -> None:
        """Take the container off the bridge when it has ended; no error when it is not there.

        The kernel deletes the interface with the container's network namespace, in its own time; a namespace that is
        `shared` with others goes on without it.
        """
        name = self.interface_on_host(container_id)
        if shared:
            self._route.request(netlink.delete_link(name), ignore={errno.ENODEV})
            return
        index = self._route.index(name)
        if index:
            # ENODEV: the kernel was quicker.
            self._route.request(
                *netlink.retire_link(index, f"{RETIRED_PREFIX}{index}"), ignore={errno.ENODEV}
            )

    # --- published ports ---

    def reserve_port(self, *bindings: PortBinding) -> list[socket.socket]:
        """Sockets that hold a port on the host's addresses, bound and not listening: see `PortReserver.reserve`.

        Conflict names the container or the program that has the port, where that can be told.
        """
        return self._reserver.reserve(bindings)

    def publish(self, container_id: str, ip: str, bindings: Sequence[PortBinding], ip6: str = "") -> None:
        """Send the bindings' host ports to the container: see `PublishedPorts.publish`."""
        self._ports.publish(container_id, ip, bindings, ip6)

    def bindings(self, container_id: str) -> tuple[PortBinding, ...]:
        """The published ports of a container, as `publish` was told them."""
        return self._ports.bindings(container_id)

    def unpublish(self, container_id: str) -> None:
        """Withdraw all ports of the container; no error when it has none."""
        self._ports.unpublish(container_id)


def _uplink_mtu(links: Sequence[netlink.Link], routes: Sequence[netlink.Route]) -> int:
    """Bytes: what leaves the host must fit its default route's interface (1460 on Google's cloud)."""
    uplinks = {route.link for route in routes if route.destination == "0.0.0.0/0"}
    return min([USUAL_MTU, *(link.mtu for link in links if link.index in uplinks)])
