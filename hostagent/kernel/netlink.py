"""rtnetlink: links, addresses and routes, in as few datagrams as the kernel allows.

The functions that build a request are pure and return a `Message`; `Socket.request` sends any number of them
in one datagram and reads their acknowledgements. Nothing here enters a namespace: a container's end of a veth
is made straight in the container's network namespace (IFLA_NET_NS_FD in VETH_INFO_PEER), and `configure` runs
there.

Sources: rtnetlink(7), netlink(7), linux/if_link.h, linux/rtnetlink.h, linux/veth.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from hostagent.kernel import netlink_socket
from hostagent.kernel.netlink_socket import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Message,
    attribute,
    attributes,
)
from hostagent.model.network import Interface

# linux/rtnetlink.h
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST = 254, 3, 0, 1
RTPROT_RA = 9
RT_SCOPE_NOWHERE = 255  # in a deletion: any

# linux/if_link.h, linux/veth.h, linux/if_addr.h
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO, IFLA_NET_NS_FD = 1, 3, 4, 10, 18, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS = 29, 8
IFLA_AF_SPEC, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE = 26, 8, 1
IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA, IFLA_BRPORT_MODE = 4, 5, 4
IFLA_BRPORT_ISOLATED = 33
IFLA_LINK, IFLA_MACVLAN_MODE = 5, 1
MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST = 1, 2, 4
IFA_F_NODAD = 0x02
IFF_UP = 1

NO_IPV6 = frozenset({errno.EAFNOSUPPORT})  # what `no_ipv6_address` meets on a kernel without IPv6

GONE = frozenset({errno.ENODEV})  # what deleting a link meets when there is none
NO_ROUTE = frozenset(
    {errno.ESRCH, errno.ENOENT, errno.EOPNOTSUPP}
)  # and a route; ENOENT and the last are IPv6's

LOOPBACK_INDEX = 1  # the kernel makes lo first in every network namespace

_LINK = struct.Struct("=BxHiII")  # family, hardware type, index, flags, change mask
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, dst/src length, tos, table, protocol, scope, type, flags
_INTERFACE_INDEX = struct.Struct("=16si20x")  # struct ifreq with the index (netdevice(7))
_SIOCGIFINDEX = 0x8933  # linux/sockios.h


@dataclass(frozen=True)
class Link:
    """A network interface as the kernel lists it; `master` is 0 without one, `kind` is "" for hardware."""

    index: int
    name: str
    mac: str
    mtu: int
    up: bool
    master: int
    kind: str


@dataclass(frozen=True)
class Route:
    """Destination as CIDR ("0.0.0.0/0" is the default), outgoing interface's index or 0; did a router tell of it?"""

    destination: str
    link: int
    advertised: bool = False


# --- requests ---


def mac_bytes(mac: str) -> bytes:
    """Six bytes of "02:42:ac:11:00:02". ValueError for anything else."""
    octets = bytes.fromhex(mac.replace(":", ""))
    if len(octets) != 6:
        raise ValueError(f"{mac!r} is not a MAC address")
    return octets


def _packed(address: str) -> tuple[int, bytes]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.inet_pton(family, address)


def _link_header(index: int = 0, up: bool = False) -> bytes:
    flags = IFF_UP if up else 0
    return _LINK.pack(socket.AF_UNSPEC, 0, index, flags, flags)


def _link_info(kind: str, data: bytes = b"") -> bytes:
    info = attribute(IFLA_INFO_KIND, kind)
    return attribute(IFLA_LINKINFO, info + (attribute(IFLA_INFO_DATA, data) if data else b""))


def new_bridge(name: str, mac: str, mtu: int) -> Message:
    """A bridge, up. EEXIST when the name is taken.

    The MAC is given, because otherwise it changes with the ports (the lowest of theirs), and neighbours
    notice.
    """
    body = _link_header(up=True) + attribute(IFLA_IFNAME, name)
    body += attribute(IFLA_ADDRESS, mac_bytes(mac)) + attribute(IFLA_MTU, mtu) + _link_info("bridge")
    return Message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


def new_veth(host_name: str, bridge_index: int, interface: Interface, netns_fd: int) -> Message:
    """A veth pair, both ends down: one here, on the bridge; `interface` in the namespace of `netns_fd`."""
    peer = _link_header() + attribute(IFLA_IFNAME, interface.name)
    peer += attribute(IFLA_ADDRESS, mac_bytes(interface.mac)) + attribute(IFLA_MTU, interface.mtu)
    peer += attribute(IFLA_NET_NS_FD, netns_fd)
    body = _link_header() + attribute(IFLA_IFNAME, host_name) + attribute(IFLA_MTU, interface.mtu)
    body += attribute(IFLA_MASTER, bridge_index) + _link_info("veth", attribute(VETH_INFO_PEER, peer))
    return Message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


def new_pair(name: str, peer_name: str) -> Message:
    """A veth pair with both ends here, down. EEXIST when a name is taken."""
    peer = _link_header() + attribute(IFLA_IFNAME, peer_name)
    body = _link_header() + attribute(IFLA_IFNAME, name)
    return Message(
        RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body + _link_info("veth", attribute(VETH_INFO_PEER, peer))
    )


def new_macvlan(parent: int, mode: str, interface: Interface, netns_fd: int) -> Message:
    """`interface` in the namespace of `netns_fd`, down, on the parent of that index here; `mode` is of MACVLAN_MODES.

    EOPNOTSUPP on a kernel without macvlan, EBUSY when something else has all packets of the parent.
    """
    body = _link_header() + attribute(IFLA_IFNAME, interface.name)
    body += attribute(IFLA_ADDRESS, mac_bytes(interface.mac)) + attribute(IFLA_MTU, interface.mtu)
    body += attribute(IFLA_LINK, parent) + attribute(IFLA_NET_NS_FD, netns_fd)
    body += _link_info("macvlan", attribute(IFLA_MACVLAN_MODE, MACVLAN_MODES[mode]))
    return Message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


def no_ipv6_address(index: int = 0, name: str = "") -> Message:
    """No automatic link-local IPv6 address for an interface that is still down, given by index or by name.

    Each would be announced to every port of the bridge. EAFNOSUPPORT on a kernel without IPv6 (NO_IPV6).
    """
    mode = attribute(IFLA_INET6_ADDR_GEN_MODE, bytes([IN6_ADDR_GEN_MODE_NONE]))
    body = _link_header(index) + (attribute(IFLA_IFNAME, name) if name else b"")
    return Message(RTM_NEWLINK, 0, body + attribute(IFLA_AF_SPEC, attribute(socket.AF_INET6, mode)))


def hairpin(name: str) -> Message:
    """Let a bridge's port send back through itself what came in there."""
    mode = attribute(IFLA_BRPORT_MODE, b"\x01")
    info = attribute(IFLA_INFO_SLAVE_KIND, "bridge") + attribute(IFLA_INFO_SLAVE_DATA, mode)
    body = _link_header() + attribute(IFLA_IFNAME, name) + attribute(IFLA_LINKINFO, info)
    return Message(RTM_NEWLINK, 0, body)


def isolate(name: str) -> Message:
    """Keep a bridge's port from all other isolated ports (Linux 4.18)."""
    info = attribute(IFLA_INFO_SLAVE_KIND, "bridge")
    info += attribute(IFLA_INFO_SLAVE_DATA, attribute(IFLA_BRPORT_ISOLATED, b"\x01"))
    body = _link_header() + attribute(IFLA_IFNAME, name) + attribute(IFLA_LINKINFO, info)
    return Message(RTM_NEWLINK, 0, body)


def link_up_by_name(name: str) -> Message:
    """Bring an interface up whose index is not known yet."""
    return Message(RTM_NEWLINK, 0, _link_header(up=True) + attribute(IFLA_IFNAME, name))


def link_up(index: int) -> Message:
    """Bring an interface up."""
    return Message(RTM_NEWLINK, 0, _link_header(index, up=True))


def delete_link(name: str) -> Message:
    """Remove an interface (and its veth peer). ENODEV when there is none."""
    return Message(RTM_DELLINK, 0, _link_header() + attribute(IFLA_IFNAME, name))


def enslave(index: int, bridge_index: int) -> Message:
    """Put an interface on a bridge."""
    return Message(RTM_NEWLINK, 0, _link_header(index) + attribute(IFLA_MASTER, bridge_index))


def retire_link(index: int, new_name: str) -> tuple[Message, Message]:
    """Take an interface down and off its bridge, then rename it: 0.2 ms where deleting a veth takes 15-30 ms.

    The kernel deletes it with the network namespace of its peer.
    """
    off = _LINK.pack(socket.AF_UNSPEC, 0, index, 0, IFF_UP) + attribute(IFLA_MASTER, 0)
    # A second message, because an interface that is up cannot be renamed before Linux 6.2.
    return (
        Message(RTM_NEWLINK, 0, off),
        Message(RTM_NEWLINK, 0, _link_header(index) + attribute(IFLA_IFNAME, new_name)),
    )


def _address_body(index: int, cidr: str) -> bytes:
    address, _, length = cidr.partition("/")
    family, packed = _packed(address)
    prefix = int(length)
    # Nobody else has an address of ours: without the search for one (RFC 4862) it is there at once.
    flags = IFA_F_NODAD if family == socket.AF_INET6 else 0
    body = _ADDRESS.pack(family, prefix, flags, RT_SCOPE_UNIVERSE, index)
    body += attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)
    if family == socket.AF_INET and prefix < 31:
        host_bits = (1 << (32 - prefix)) - 1
        body += attribute(IFA_BROADCAST, (int.from_bytes(packed, "big") | host_bits).to_bytes(4, "big"))
    return body


def new_address(index: int, cidr: str) -> Message:
    """Give an interface an address with its prefix (and so its connected route); no error when it has it."""
    return Message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, _address_body(index, cidr))


def delete_address(index: int, cidr: str) -> Message:
    """Take an address away. EADDRNOTAVAIL when it is not there."""
    return Message(RTM_DELADDR, 0, _address_body(index, cidr))


def new_default_route(gateway: str, index: int) -> Message:
    """The default route of the gateway's family in the main table, replaced if there is one."""
    family, packed = _packed(gateway)
    body = _ROUTE.pack(family, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST, 0)
    body += attribute(RTA_GATEWAY, packed) + attribute(RTA_OIF, index)
    return Message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body)


def delete_default_route(family: int = socket.AF_INET) -> Message:
    """In the main table. NO_ROUTE when there is none."""
    body = _ROUTE.pack(family, 0, 0, 0, RT_TABLE_MAIN, 0, RT_SCOPE_NOWHERE, 0, 0)
    return Message(RTM_DELROUTE, 0, body)


# --- what the kernel has ---


class Socket(netlink_socket.Socket):
    """A rtnetlink socket of the network namespace in which it was made."""

    def __init__(self) -> None:
        super().__init__(socket.NETLINK_ROUTE)

    def links(self) -> list[Link]:
        """All interfaces."""
        header = _link_header() + attribute(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
        return [_parse_link(body) for body in self.dump(RTM_GETLINK, header)]

    def link(self, name: str) -> Link | None:
        """The interface of that name, or None."""
        try:
            (body,) = self.ask(Message(RTM_GETLINK, 0, _link_header() + attribute(IFLA_IFNAME, name)))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        return _parse_link(body)

    def index(self, name: str) -> int:
        """Of the interface of that name; 0 when there is none. Waits for nobody (netdevice(7)), where `link` waits for
        the lock that the kernel holds for milliseconds while it takes a network namespace away."""
        try:
            answer = self.ioctl(_SIOCGIFINDEX, _INTERFACE_INDEX.pack(name.encode(), 0))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return 0
            raise
        index: int = _INTERFACE_INDEX.unpack(answer)[1]
        return index

    def addresses(self, index: int = 0, family: int = socket.AF_INET) -> list[str]:
        """The addresses of an interface, or with 0 of all, as CIDR."""
        header = _ADDRESS.pack(family, 0, 0, 0, index)
        found = []
        for body in self.dump(RTM_GETADDR, header):
            _, prefix, _, _, owner = _ADDRESS.unpack_from(body)
            if index in (0, owner):
                values = attributes(body[_ADDRESS.size :])
                packed = values.get(IFA_LOCAL) or values[IFA_ADDRESS]  # IPv6 has the one, or the other
                found.append(f"{socket.inet_ntop(family, packed)}/{prefix}")
        return found

    def routes(self, family: int = socket.AF_INET) -> list[Route]:
        """The routes of all tables except the local one (which only repeats our own addresses)."""
        header = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        nothing = bytes(4 if family == socket.AF_INET else 16)
        found = []
        for body in self.dump(RTM_GETROUTE, header):
            _, length, _, _, _, origin, _, kind, _ = _ROUTE.unpack_from(body)
            if kind != RTN_UNICAST:
                continue
            values = attributes(body[_ROUTE.size :])
            network = socket.inet_ntop(family, values.get(RTA_DST, nothing))
            found.append(Route(f"{network}/{length}", _u32(values.get(RTA_OIF)), origin == RTPROT_RA))
        return found


def _u32(value: bytes | None) -> int:
    return int(struct.unpack("=I", value)[0]) if value else 0


def _parse_link(body: bytes) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    values = attributes(body[_LINK.size :])
    kind = attributes(values.get(IFLA_LINKINFO, b"")).get(IFLA_INFO_KIND, b"")
    return Link(
        index=index,
        name=values[IFLA_IFNAME].rstrip(b"\0").decode(),
        mac=values.get(IFLA_ADDRESS, b"").hex(":"),
        mtu=_u32(values.get(IFLA_MTU)),
        up=bool(flags & IFF_UP),
        master=_u32(values.get(IFLA_MASTER)),
        kind=kind.rstrip(b"\0").decode(),
    )


# --- inside the container ---


def configuration(interfaces: Sequence[Interface], indices: Sequence[int]) -> list[Message]:
    """What finishes a container's network: lo up, then each interface's addresses, link and default route."""
    messages = [link_up(LOOPBACK_INDEX)]
    for interface, index in zip(interfaces, indices, strict=True):
        if not any(":" in cidr for cidr in interface.addresses):
            messages.append(no_ipv6_address(index))
        messages += [new_address(index, cidr) for cidr in interface.addresses]
        messages.append(link_up(index))
        if interface.gateway is not None:
            messages.append(new_default_route(interface.gateway, index))
        if interface.gateway6 is not None:
            messages.append(new_default_route(interface.gateway6, index))
    return messages


def configure(interfaces: Sequence[Interface]) -> None:
    """Finish the network of the namespace that we are in; the interfaces exist already, under their names.

    An empty list brings up lo only (`--network none`). OSError names what the kernel refused.
    """
    indices = [socket.if_nametoindex(interface.name) for interface in interfaces]
    with Socket() as kernel:
        kernel.request(*configuration(interfaces, indices), ignore=NO_IPV6)
