"""nftables through libnftables: text commands, one transaction per call.

Text, because JSON input with concatenated keys crashes libnftables 1.0.6 (Debian 12). In process, because one
map element takes 0.1 ms this way and 2-28 ms through the `nft` command. Sources: libnftables(3), nft(8),
linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import ctypes
import socket
import struct

from hostagent.errors import Unavailable
from hostagent.kernel import netlink_socket

LIBRARY = "libnftables.so.1"

# linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h
NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWGEN, NFT_MSG_GETGEN, NFTA_GEN_ID = 10, 15, 16, 1

NFT_CTX_OUTPUT_JSON = 1 << 4  # nftables/libnftables.h

_SHOWN = 600  # characters of libnftables' complaint that we pass on: it repeats the whole command


class NftError(Exception):
    """nftables refused a transaction; nothing of it was applied."""


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise Unavailable(
            f"cannot load {LIBRARY} ({error}): the bridge network and published ports need nftables; "
            "install the Debian package libnftables1"
        ) from error
    context, text = ctypes.c_void_p, ctypes.c_char_p
    library.nft_ctx_new.argtypes, library.nft_ctx_new.restype = [ctypes.c_uint32], context
    library.nft_ctx_free.argtypes, library.nft_ctx_free.restype = [context], None
    library.nft_run_cmd_from_buffer.argtypes = [context, text]
    library.nft_ctx_buffer_output.argtypes = library.nft_ctx_buffer_error.argtypes = [context]
    library.nft_ctx_output_set_flags.argtypes = [context, ctypes.c_uint]
    library.nft_ctx_output_set_flags.restype = None
    for buffer in (library.nft_ctx_get_output_buffer, library.nft_ctx_get_error_buffer):
        buffer.argtypes, buffer.restype = [context], text
    return library


class Nft:
    """A libnftables context and a netfilter socket, both of the network namespace in which they were made.

    Unavailable when the library or the kernel's nf_tables is missing.
    """

    def __init__(self, json: bool = False) -> None:
        """`json`: what `run` gives is JSON (libnftables-json(5)); commands stay text."""
        self._library = _load()
        self._context = self._library.nft_ctx_new(0)
        if not self._context:
            raise Unavailable("libnftables gives no context: is nf_tables in the kernel?")
        if json:
            self._library.nft_ctx_output_set_flags(self._context, NFT_CTX_OUTPUT_JSON)
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)
        self._socket = netlink_socket.Socket(netlink_socket.NETLINK_NETFILTER)

    def close(self) -> None:
        self._library.nft_ctx_free(self._context)
        self._socket.close()

    def run(self, commands: str) -> str:
        """Run commands as one transaction and return what they print. NftError with nft's own words."""
        failed = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
        # Both buffers are emptied by reading, so that a later call does not meet an old text.
        complaint = self._library.nft_ctx_get_error_buffer(self._context).decode()
        output: str = self._library.nft_ctx_get_output_buffer(self._context).decode()
        if failed:
            raise NftError(complaint.strip()[:_SHOWN])
        return output

    def generation(self) -> int:
        """The number of the ruleset in force; the kernel counts it up at every transaction of anybody."""
        body = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)
        for reply in self._socket.ask(
            netlink_socket.Message(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, 0, body)
        ):
            return int.from_bytes(netlink_socket.attributes(reply[4:])[NFTA_GEN_ID], "big")
        raise Unavailable("the kernel does not tell its nftables generation: is nf_tables in the kernel?")
