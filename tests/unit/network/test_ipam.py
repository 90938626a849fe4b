"""Leases and subnets, by hypothesis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.errors import Conflict, Invalid, Unavailable
from hostagent.network import ipam
from hostagent.statedb.database import Database

networks = st.builds(
    lambda address, length: IPv4Network((address & (0xFFFFFFFF << (32 - length)), length)),
    st.integers(0, 0xFFFFFFFF),
    st.integers(8, 30),
)


@pytest.fixture
def db() -> Iterator[Database]:
    with closing(Database(":memory:")) as made:
        yield made


@given(
    prefix=st.integers(26, 29),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=120),
)
def test_leases_are_unique_lowest_first_and_stable(prefix: int, steps: list[tuple[bool, int]]) -> None:
    """Against a model: a dict and a search through all hosts."""
    network = IPv4Network(f"10.88.0.0/{prefix}")
    with closing(Database(":memory:")) as db:
        leases = ipam.Leases(db, "pm0")
        leases.set_subnet(network)
        usable = list(network.hosts())[1:]
        model: dict[str, IPv4Address] = {}
        for take, number in steps:
            container = f"c{number}"
            if not take:
                leases.drop(container)
                model.pop(container, None)
                continue
            free = [address for address in usable if address not in model.values()]
            expected = model.get(container) or (free[0] if free else None)
            if expected is None:
                with pytest.raises(Unavailable, match="no free address"):
                    leases.take(container, None)
                continue
            lease = leases.take(container, None)
            assert (lease.address, lease.mac) == (expected, ipam.mac_for(expected))
            model[container] = expected
        assert leases.holders() == set(model)


def test_a_mac_is_kept_and_can_be_changed(db: Database) -> None:
    leases = ipam.Leases(db, "pm0")
    leases.set_subnet(IPv4Network("10.88.0.0/24"))
    first = leases.take("a", "02:00:00:00:00:01")
    assert leases.take("a", None) == first
    assert leases.take("a", "02:00:00:00:00:02") == ipam.Lease(first.address, "02:00:00:00:00:02")


def test_bridges_do_not_share_leases(db: Database) -> None:
    first, second = ipam.Leases(db, "pm0"), ipam.Leases(db, "pm1")
    for leases in (first, second):
        leases.set_subnet(IPv4Network("10.88.0.0/24"))
    assert first.take("a", None) == second.take("a", None)
    first.forget_bridge()
    assert first.subnet() is None
    assert second.holders() == {"a"}
    with pytest.raises(Unavailable, match="not set up yet"):
        first.take("b", None)


def test_another_subnet_forgets_the_leases_of_the_old_one(db: Database) -> None:
    leases = ipam.Leases(db, "pm0")
    leases.set_subnet(IPv4Network("10.88.0.0/24"))
    leases.take("a", None)
    leases.set_subnet(IPv4Network("10.88.0.0/24"))
    assert leases.holders() == {"a"}
    leases.set_subnet(IPv4Network("10.89.0.0/24"))
    assert leases.holders() == set()


@given(st.lists(networks, max_size=30))
def test_the_chosen_subnet_meets_no_route(routed: list[IPv4Network]) -> None:
    try:
        chosen = ipam.choose_subnet(routed)
    except Unavailable:
        assert all(any(c.overlaps(r) for r in routed) for c in ipam.candidates())
        return
    assert chosen.is_private
    assert not any(chosen.overlaps(route) for route in routed)


def test_the_first_choice_is_dockers() -> None:
    default = IPv4Network("0.0.0.0/0")
    assert ipam.choose_subnet([default]) == IPv4Network("172.17.0.0/16")
    office = [IPv4Network("172.16.0.0/12"), IPv4Network("192.168.1.0/24")]
    assert ipam.choose_subnet(office) == IPv4Network("192.168.16.0/20")


@pytest.mark.parametrize("subnet", ["10.88.0.1/24", "fd00::/64", "nonsense", "10.88.0.0/30"])
def test_a_wrong_subnet(subnet: str) -> None:
    with pytest.raises(Invalid, match=subnet):
        ipam.choose_subnet([], subnet)


def test_a_taken_subnet() -> None:
    with pytest.raises(Conflict, match=r"overlaps the host's route to 10\.0\.0\.0/8"):
        ipam.choose_subnet([IPv4Network("10.0.0.0/8")], "10.88.0.0/16")


@given(st.integers(0, 0xFFFFFFFF))
def test_macs_are_local_unicast_and_distinct_per_address(address: int) -> None:
    mac = ipam.mac_for(IPv4Address(address))
    assert int(mac[:2], 16) & 0b11 == 0b10
    assert int(mac.replace(":", "")[4:], 16) == address
