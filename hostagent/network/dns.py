"""DNS messages as bytes, without sockets: the little that a resolver of container names needs (RFC 1035, RFC 6891).

Questions are read, and answers of type A, AAAA and PTR are written; whatever else a name server says is passed on as it
came. A name is a tuple of labels, without the empty one at its end.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

A, PTR, AAAA, OPT = 1, 12, 28, 41
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)

PLAIN_UDP = 512
"""Bytes that an answer over UDP may have when the question does not say more."""
EDNS_UDP = 1232
"""What we say that we take, and the most that we send at once: fits into any link's packet."""
NAME_MAX, LABEL_MAX = 255, 63

_QR, _TC, _RD, _RA = 0x8000, 0x0200, 0x0100, 0x0080
_HEADER = struct.Struct(">HHHHHH")  # ID, flags, questions, answers, authorities, additions
_QUESTION = struct.Struct(">HH")  # type, class
_RECORD = struct.Struct(">HHIH")  # type, class, TTL in seconds, length of the data
_POINTER = 0xC0
_TO_QUESTION = struct.pack(">H", _POINTER << 8 | _HEADER.size)

Name = tuple[bytes, ...]
Record = IPv4Address | IPv6Address | Name


@dataclass(frozen=True)
class Query:
    """A request with its one question."""

    id: int
    name: Name
    kind: int
    klass: int = IN
    opcode: int = 0
    recurse: bool = True
    udp_size: int = 0
    """Bytes that the asker takes over UDP by EDNS; 0 when it does not speak it."""

    @property
    def text(self) -> str:
        """The name in small letters, with dots; what is not ASCII never matches a name of ours."""
        return b".".join(self.name).decode("ascii", "replace").lower()

    @property
    def room(self) -> int:
        """Bytes that an answer over UDP may have."""
        return max(PLAIN_UDP, min(self.udp_size, EDNS_UDP))


def name_of(text: str) -> Name:
    """ "web.example" as labels. ValueError when it is no name."""
    labels = tuple(label.encode() for label in text.rstrip(".").split(".") if text.rstrip("."))
    if any(not 0 < len(label) <= LABEL_MAX for label in labels):
        raise ValueError(f"{text!r} is not a domain name")
    if sum(len(label) + 1 for label in labels) + 1 > NAME_MAX:
        raise ValueError(f"the domain name {text!r} is longer than {NAME_MAX} bytes")
    return labels


def decode(data: bytes) -> Query:
    """The request in a datagram. ValueError when it is cut short, is an answer, or has not exactly one question."""
    if len(data) < _HEADER.size:
        raise ValueError(f"a DNS message of {len(data)} bytes")
    number, flags, questions, answers, authorities, additions = _HEADER.unpack_from(data)
    if flags & _QR:
        raise ValueError("a DNS answer where a question was expected")
    if questions != 1:
        raise ValueError(f"a DNS message with {questions} questions")
    name, offset = _read_name(data, _HEADER.size)
    if offset + _QUESTION.size > len(data):
        raise ValueError("a DNS question that is cut short")
    kind, klass = _QUESTION.unpack_from(data, offset)
    size = _udp_size(data, offset + _QUESTION.size, answers + authorities + additions)
    return Query(number, name, kind, klass, flags >> 11 & 0xF, bool(flags & _RD), size)


def _read_name(data: bytes, offset: int) -> tuple[Name, int]:
    """Labels, and the offset behind the name. Pointers only lead backwards, so that no name is endless."""
    labels: list[bytes] = []
    size, end, earliest = 1, 0, offset
    while True:
        if offset >= len(data):
            raise ValueError("a DNS name that is cut short")
        length = data[offset]
        if length & _POINTER == _POINTER:
            if offset + 1 >= len(data):
                raise ValueError("a DNS pointer that is cut short")
            target = (length & ~_POINTER) << 8 | data[offset + 1]
            if target >= earliest:
                raise ValueError("a DNS pointer that does not lead backwards")
            end = end or offset + 2
            offset = earliest = target
            continue
        if length & _POINTER:
            raise ValueError(f"a DNS label of unknown type {length >> 6}")
        offset += 1
        if not length:
            return tuple(labels), end or offset
        if offset + length > len(data):
            raise ValueError("a DNS label that is cut short")
        labels.append(data[offset : offset + length])
        offset += length
        size += length + 1
        if size > NAME_MAX:
            raise ValueError(f"a DNS name longer than {NAME_MAX} bytes")


def _udp_size(data: bytes, offset: int, records: int) -> int:
    """What the OPT record says that the asker takes (its class field); 0 without one."""
    for _ in range(records):
        _, offset = _read_name(data, offset)
        if offset + _RECORD.size > len(data):
            raise ValueError("a DNS record that is cut short")
        kind, klass, _, length = _RECORD.unpack_from(data, offset)
        offset += _RECORD.size + length
        if offset > len(data):
            raise ValueError("a DNS record that is cut short")
        if kind == OPT:
            return int(klass)
    return 0


def _write_name(name: Name) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in name) + b"\0"


def encode(query: Query) -> bytes:
    """The request as bytes; `decode` is its inverse."""
    flags = query.opcode << 11 | (_RD if query.recurse else 0)
    message = _HEADER.pack(query.id, flags, 1, 0, 0, 1 if query.udp_size else 0) + _question(query)
    return message + (_opt(query.udp_size) if query.udp_size else b"")


def _question(query: Query) -> bytes:
    return _write_name(query.name) + _QUESTION.pack(query.kind, query.klass)


def _opt(size: int) -> bytes:
    return b"\0" + _RECORD.pack(OPT, size, 0, 0)


def answer(
    query: Query, records: Sequence[Record], ttl: int = 0, rcode: int = NOERROR, room: int = 65535
) -> bytes:
    """What answers `query` with addresses or names; what `room` bytes do not hold is left out, as it says."""
    additions = _opt(EDNS_UDP) if query.udp_size else b""
    body, fitting = _question(query), 0
    for record in records:
        kind, data = _data(record)
        entry = _TO_QUESTION + _RECORD.pack(kind, IN, ttl, len(data)) + data
        if _HEADER.size + len(body) + len(entry) + len(additions) > room:
            break
        body += entry
        fitting += 1
    flags = _QR | _RA | query.opcode << 11 | rcode | (_RD if query.recurse else 0)
    flags |= _TC if fitting < len(records) else 0
    return _HEADER.pack(query.id, flags, 1, fitting, 0, 1 if additions else 0) + body + additions


def _data(record: Record) -> tuple[int, bytes]:
    if isinstance(record, IPv4Address):
        return A, record.packed
    if isinstance(record, IPv6Address):
        return AAAA, record.packed
    return PTR, _write_name(record)


def renumbered(message: bytes, number: int) -> bytes:
    """The message with another ID."""
    return struct.pack(">H", number) + message[2:]


def answers(reply: bytes, number: int, query: Query) -> bool:
    """Whether `reply` is an answer of that ID to the question of `query`: what is not may be forged (RFC 5452)."""
    if len(reply) < _HEADER.size:
        return False
    found, flags, questions, *_ = _HEADER.unpack_from(reply)
    if found != number or not flags & _QR:
        return False
    if questions == 0:  # servers refuse without repeating what they did not understand
        return bool(flags & 0xF)
    try:
        name, offset = _read_name(reply, _HEADER.size)
        kind, klass = _QUESTION.unpack_from(reply, offset)
    except (ValueError, struct.error):
        return False
    same = [label.lower() for label in name] == [label.lower() for label in query.name]
    return same and (kind, klass) == (query.kind, query.klass)


def reverse_address(query: Query) -> IPv4Address | IPv6Address | None:
    """The address that a PTR question is about (d.c.b.a.in-addr.arpa, or 32 digits and ip6.arpa: RFC 3596); None when
    it is about none."""
    *digits, zone, top = [b"", b"", *(label.lower() for label in query.name)]
    digits = digits[2:]
    if query.kind != PTR or top != b"arpa":
        return None
    try:
        if zone == b"in-addr" and len(digits) == 4:
            return IPv4Address(b".".join(reversed(digits)).decode("ascii"))
        if zone == b"ip6" and len(digits) == 32 and all(len(digit) == 1 for digit in digits):
            return IPv6Address(int(b"".join(reversed(digits)).decode("ascii"), 16))
    except ValueError:
        pass
    return None
