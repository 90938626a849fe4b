"""What happens to nftables' tables, as the kernel tells everybody who listens. linux/netfilter/nf_tables.h.

Every change of a transaction is a message, and the first attribute of each but one kind is the name of its table.
"""

from __future__ import annotations

import errno
import socket

from hostagent.kernel import netlink_socket
from hostagent.kernel.nft import NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWGEN

NFNLGRP_NFTABLES, NETLINK_ADD_MEMBERSHIP = 7, 1
_TABLE = (
    1  # NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE, ...
)
_HEADER = 4  # struct nfgenmsg
_BUFFER = 1 << 20  # bytes of messages that wait for us: a transaction with some 5,000 elements


class Events:
    """A socket that hears of all changes in the network namespace in which it was made."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
            netlink_socket.NETLINK_NETFILTER,
        )
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._socket.bind((0, 0))
        self._socket.setsockopt(netlink_socket.SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def tables(self) -> set[str] | None:
        """The names of tables of which something has changed since the last call; None when more has happened than
        the socket held."""
        found: set[str] = set()
        lost = False
        while True:
            try:
                datagram = self._socket.recv(1 << 16)
            except BlockingIOError:
                return None if lost else found
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = True
                continue
            for message in netlink_socket.decode(datagram):
                if message.kind >> 8 == NFNL_SUBSYS_NFTABLES and message.kind & 0xFF != NFT_MSG_NEWGEN:
                    name = netlink_socket.attributes(message.body[_HEADER:]).get(_TABLE, b"")
                    found.add(name.rstrip(b"\0").decode(errors="replace"))
