"""DNS messages: what is written can be read, whatever comes is refused and never more."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.network import dns

LABELS = st.lists(st.binary(min_size=1, max_size=63), max_size=8).filter(
    lambda labels: sum(len(label) + 1 for label in labels) < 254
)
QUERIES = st.builds(
    dns.Query,
    id=st.integers(0, 65535),
    name=LABELS.map(tuple),
    kind=st.integers(0, 65535),
    klass=st.integers(0, 65535),
    opcode=st.integers(0, 15),
    recurse=st.booleans(),
    udp_size=st.integers(0, 65535),
)


@given(QUERIES)
def test_a_question_survives(query: dns.Query) -> None:
    assert dns.decode(dns.encode(query)) == query


@given(st.binary(max_size=200))
def test_anything_is_read_or_refused(data: bytes) -> None:
    try:
        dns.decode(data)
    except ValueError:
        pass
    dns.answers(data, 1, dns.Query(1, (), dns.A))


@given(QUERIES, st.binary(max_size=60), st.integers(0, 300))
def test_a_damaged_question_is_read_or_refused(query: dns.Query, damage: bytes, at: int) -> None:
    good = dns.encode(query)
    try:
        dns.decode(good[:at] + damage + good[at + len(damage) :])
    except ValueError:
        pass


@given(QUERIES, st.lists(st.ip_addresses(v=4), max_size=200), st.integers(512, 1232))
def test_an_answer_fits_and_says_when_it_is_cut(
    query: dns.Query, addresses: list[IPv4Address], room: int
) -> None:
    reply = dns.answer(query, addresses, room=room)
    assert len(reply) <= room
    assert dns.answers(reply, query.id, query)
    count = int.from_bytes(reply[6:8], "big")
    assert bool(reply[2] & 0x02) == (count < len(addresses))
    assert all(address.packed in reply for address in addresses[:count])


def test_an_answer_byte_by_byte() -> None:
    query = dns.Query(0x1234, dns.name_of("web.example"), dns.A)
    assert dns.answer(query, [IPv4Address("172.18.0.2")], ttl=7) == bytes.fromhex(
        "1234 8180 0001 0001 0000 0000"  # answer, recursion asked for and available
        "03 776562 07 6578616d706c65 00 0001 0001"
        "c00c 0001 0001 00000007 0004 ac120002"
    )
    query = dns.Query(0x1234, dns.name_of("web.example"), dns.AAAA)
    assert dns.answer(query, [IPv6Address("fd00::2")], ttl=7) == bytes.fromhex(
        "1234 8180 0001 0001 0000 0000"
        "03 776562 07 6578616d706c65 00 001c 0001"
        "c00c 001c 0001 00000007 0010 fd000000000000000000000000000002"
    )


def test_pointers_lead_backwards_only() -> None:
    header = bytes.fromhex("0001 0100 0001 0000 0000 0000")
    with pytest.raises(ValueError, match="backwards"):
        dns.decode(header + bytes.fromhex("c00c 0001 0001"))


def test_an_answer_to_another_question_is_none() -> None:
    query = dns.Query(5, dns.name_of("a.example"), dns.A)
    reply = dns.answer(query, [IPv4Address("192.0.2.1")])
    assert dns.answers(reply, 5, query)
    assert not dns.answers(reply, 6, query)
    assert not dns.answers(reply, 5, dns.Query(5, dns.name_of("b.example"), dns.A))
    assert not dns.answers(dns.encode(query), 5, query)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("2.0.18.172.in-addr.arpa", IPv4Address("172.18.0.2")),
        ("2.0.18.in-addr.arpa", None),
        ("x.0.18.172.in-addr.arpa", None),
        ("2.0.18.172.ip6.arpa", None),
        (f"2{'.0' * 27}.0.0.d.f.ip6.arpa", IPv6Address("fd00::2")),
        (f"2{'.0' * 26}.0.0.d.f.ip6.arpa", None),
        (f"x{'.0' * 27}.0.0.d.f.IP6.ARPA", None),
        (f"2{'.0' * 27}.0.0.d.f.IP6.ARPA", IPv6Address("fd00::2")),
    ],
)
def test_reverse_names(name: str, address: IPv4Address | IPv6Address | None) -> None:
    assert dns.reverse_address(dns.Query(1, dns.name_of(name), dns.PTR)) == address
