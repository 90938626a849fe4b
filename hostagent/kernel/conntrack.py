"""Forget UDP flows that conntrack would keep on an old way. ctnetlink; linux/netfilter/nfnetlink_conntrack.h.

Translation is decided at a flow's first packet. A UDP sender that never pauses for 30 s (syslog, QUIC, a
game) would therefore go on to the container that published the port before, or to the host, whatever the
rules say now. TCP needs nothing: the new receiver answers a stranger's packet with a reset.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass

from hostagent.kernel import netlink_socket

NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE = 1, 1, 2
CTA_TUPLE_ORIG, CTA_FILTER = 1, 25
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_V4_DST, CTA_IP_V6_DST, CTA_PROTO_NUM, CTA_PROTO_DST_PORT = 2, 4, 1, 3
CTA_FILTER_ORIG_FLAGS, CTA_FILTER_REPLY_FLAGS = 1, 2
CTA_FILTER_F_CTA_PROTO_NUM, CTA_FILTER_F_CTA_PROTO_DST_PORT = 1 << 3, 1 << 5
NLA_F_NESTED = 0x8000

_FAMILY_HEADER = struct.Struct("=BxH")  # struct nfgenmsg: family, resource ID


@dataclass(frozen=True)
class UdpFlow:
    """Where a flow's first packet was sent to; `tuple` identifies it, as the kernel wrote it."""

    family: int
    address: str
    port: int
    tuple: bytes


def udp_flows(
    kernel: netlink_socket.Socket, ports: Collection[int], family: int = socket.AF_INET
) -> list[UdpFlow]:
    """The UDP flows of a family whose first packet went to one of `ports`; `kernel` is a NETLINK_NETFILTER socket.

    The kernel filters by protocol, and by port when there is only one (CTA_FILTER, since Linux 5.8).
    """
    flags = CTA_FILTER_F_CTA_PROTO_NUM
    proto = netlink_socket.attribute(CTA_PROTO_NUM, bytes([socket.IPPROTO_UDP]))
    if len(ports) == 1:
        flags |= CTA_FILTER_F_CTA_PROTO_DST_PORT
        proto += b"".join(
            netlink_socket.attribute(CTA_PROTO_DST_PORT, struct.pack(">H", port)) for port in ports
        )
    request = netlink_socket.attribute(
        CTA_TUPLE_ORIG | NLA_F_NESTED, netlink_socket.attribute(CTA_TUPLE_PROTO | NLA_F_NESTED, proto)
    )
    request += netlink_socket.attribute(
        CTA_FILTER | NLA_F_NESTED,
        netlink_socket.attribute(CTA_FILTER_ORIG_FLAGS, flags)
        + netlink_socket.attribute(CTA_FILTER_REPLY_FLAGS, 0),
    )
    header = _FAMILY_HEADER.pack(family, 0)
    bodies = kernel.dump(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, header + request)
    flows = (_parse(body, family) for body in bodies)
    return [flow for flow in flows if flow.port in ports]


def _parse(body: bytes, family: int) -> UdpFlow:
    original = netlink_socket.attributes(body[_FAMILY_HEADER.size :])[CTA_TUPLE_ORIG]
    parts = netlink_socket.attributes(original)
    destination = CTA_IP_V4_DST if family == socket.AF_INET else CTA_IP_V6_DST
    return UdpFlow(
        family=family,
        address=socket.inet_ntop(family, netlink_socket.attributes(parts[CTA_TUPLE_IP])[destination]),
        port=int.from_bytes(netlink_socket.attributes(parts[CTA_TUPLE_PROTO])[CTA_PROTO_DST_PORT], "big"),
        tuple=original,
    )


def forget(kernel: netlink_socket.Socket, flows: Collection[UdpFlow]) -> None:
    """Delete the entries: their next packet is a first packet again. No error for those that ended meanwhile."""
    for flow in flows:
        body = _FAMILY_HEADER.pack(flow.family, 0)
        body += netlink_socket.attribute(CTA_TUPLE_ORIG | NLA_F_NESTED, flow.tuple)
        message = netlink_socket.Message(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, 0, body)
        kernel.request(message, ignore={errno.ENOENT})
