"""Netlink without a family: messages, attributes, a socket that sends many requests in one datagram.

Sources: netlink(7), linux/netlink.h. The users: netlink.py (rtnetlink), nft.py and conntrack.py (netfilter).
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

# linux/netlink.h
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_DUMP = 0x1, 0x4, 0x10, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
NLA_TYPE_MASK = 0x3FFF
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 270, 10, 11, 12
NLMSGERR_ATTR_MSG = 1
NETLINK_NETFILTER = 12

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # length, type


@dataclass(frozen=True)
class Message:
    """One netlink request; `flags` without NLM_F_REQUEST, which `encode` adds."""

    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True)
class Reply:
    """One netlink message from the kernel."""

    kind: int
    flags: int
    sequence: int
    body: bytes


def _padded(size: int) -> int:
    return (size + 3) & ~3


def attribute(kind: int, value: bytes | int | str) -> bytes:
    """One attribute, padded to four bytes: an int becomes a u32, a str is NUL-terminated."""
    if isinstance(value, int):
        value = struct.pack("=I", value)
    elif isinstance(value, str):
        value = value.encode() + b"\0"
    size = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(size, kind) + value + bytes(_padded(size) - size)


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes by type, without the nested and byte-order bits. ValueError when cut short."""
    found: dict[int, bytes] = {}
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        size, kind = _ATTRIBUTE.unpack_from(data, offset)
        if size < _ATTRIBUTE.size or offset + size > len(data):
            raise ValueError(f"netlink attribute of {size} bytes at {offset} in {len(data)} bytes")
        found[kind & NLA_TYPE_MASK] = data[offset + _ATTRIBUTE.size : offset + size]
        offset += _padded(size)
    return found


def encode(messages: Iterable[Message], sequence: int) -> bytes:
    """One datagram of requests, numbered upwards from `sequence`."""
    parts = []
    for number, message in enumerate(messages, sequence):
        size = _HEADER.size + len(message.body)
        parts.append(_HEADER.pack(size, message.kind, message.flags | NLM_F_REQUEST, number, 0))
        parts.append(message.body + bytes(_padded(size) - size))
    return b"".join(parts)


def decode(datagram: bytes) -> Iterator[Reply]:
    """The messages of one datagram. ValueError when cut short."""
    offset = 0
    while offset + _HEADER.size <= len(datagram):
        size, kind, flags, sequence, _ = _HEADER.unpack_from(datagram, offset)
        if size < _HEADER.size or offset + size > len(datagram):
            raise ValueError(f"netlink message of {size} bytes at {offset} in {len(datagram)} bytes")
        yield Reply(kind, flags, sequence, datagram[offset + _HEADER.size : offset + size])
        offset += _padded(size)


def failure(reply: Reply) -> OSError | None:
    """The error in an acknowledgement, with the kernel's own words where it gives them (since 4.12)."""
    code = -int(struct.unpack_from("=i", reply.body)[0])
    if code == 0:
        return None
    text = os.strerror(code)
    if reply.flags & NLM_F_ACK_TLVS:
        # The failed request is echoed between the code and the attributes: its header only, or all of it. The
        # end of a dump (NLMSG_DONE) echoes nothing.
        echoed = _HEADER.size if reply.flags & NLM_F_CAPPED else struct.unpack_from("=I", reply.body, 4)[0]
        if reply.kind == NLMSG_DONE:
            echoed = 0
        words = attributes(reply.body[4 + _padded(echoed) :]).get(NLMSGERR_ATTR_MSG)
        if words:
            text = f"{text} ({words.rstrip(bytes(1)).decode()})"
    return OSError(code, text)


class Socket:
    """A netlink socket; it stays in the netns in which it was made, whatever its owner enters."""

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.bind((0, 0))
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
            self._socket.setsockopt(SOL_NETLINK, option, 1)
        self._sequence = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def ioctl(self, request: int, argument: bytes) -> bytes:
        """A question to the network namespace of the socket by ioctl(2): `argument` as it comes back."""
        return fcntl.ioctl(self._socket, request, argument)

    def request(self, *messages: Message, ignore: Collection[int] = ()) -> None:
        """Send requests in one datagram and wait for every acknowledgement.

        The kernel runs them in order and does not stop at a failed one. Raises the first OSError whose errno
        is not in `ignore`, after all have been read, so that the socket stays usable.
        """
        self._exchange(messages, ignore)

    def ask(self, message: Message) -> list[bytes]:
        """The bodies of the answers to one request that is not a dump. OSError when it is refused."""
        return self._exchange([message], ())

    def _exchange(self, messages: Sequence[Message], ignore: Collection[int]) -> list[bytes]:
        first = self._sequence
        self._sequence += len(messages)
        self._socket.send(encode((Message(m.kind, m.flags | NLM_F_ACK, m.body) for m in messages), first))
        waiting = len(messages)
        failed: OSError | None = None
        bodies: list[bytes] = []
        while waiting:
            for reply in decode(self._socket.recv(65536)):
                if reply.sequence < first:
                    continue
                if reply.kind != NLMSG_ERROR:
                    bodies.append(reply.body)
                    continue
                waiting -= 1
                error = failure(reply)
                if error is not None and failed is None and error.errno not in ignore:
                    failed = error
        if failed is not None:
            raise failed
        return bodies

    def dump(self, kind: int, header: bytes) -> list[bytes]:
        """The bodies that a GET request lists; asked again when the list changed meanwhile (DUMP_INTR)."""
        while True:
            sequence = self._sequence
            self._sequence += 1
            self._socket.send(encode([Message(kind, NLM_F_DUMP, header)], sequence))
            bodies: list[bytes] = []
            interrupted = done = False
            while not done:
                for reply in decode(self._socket.recv(1 << 18)):
                    if reply.sequence != sequence:
                        continue
                    interrupted |= bool(reply.flags & NLM_F_DUMP_INTR)
                    if reply.kind in (NLMSG_DONE, NLMSG_ERROR):
                        done = True
                        error = failure(reply) if reply.body else None
                        if error is not None:
                            raise error
                    else:
                        bodies.append(reply.body)
            if not interrupted:
                return bodies
