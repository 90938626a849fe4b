"""IPv6 leases, by hypothesis; subnets of a network without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.errors import Denied, Unavailable
from hostagent.network import addressing, ipam
from hostagent.network.ipam6 import Leases6, Pool6
from hostagent.statedb.database import Database
from hostagent.wire import IPAMConfig

SUBNET = IPv6Network("fd00:77::/64")


def leases(db: Database, pool: Pool6) -> Leases6:
    """Those of a bridge that has its IPv4 subnet already."""
    ipam.Leases(db, "pm0").set_subnet(IPv4Network("10.88.0.0/24"))
    made = Leases6(db, "pm0", pool)
    made.prepare()
    return made


@pytest.fixture
def db() -> Iterator[Database]:
    with closing(Database(":memory:")) as made:
        yield made


@given(
    length=st.integers(121, 126),
    steps=st.lists(st.tuples(st.sampled_from(["take", "drop"]), st.integers(0, 20)), max_size=80),
)
def test_leases_are_unique_lowest_first_and_stable(length: int, steps: list[tuple[str, int]]) -> None:
    """Against a model: a dict and a search through all addresses."""
    subnet = IPv6Network(f"fd00:77::/{length}")
    with closing(Database(":memory:")) as db:
        pool = Pool6(subnet, subnet[1], reserved={"a": str(subnet[3])})
        found = leases(db, pool)
        usable = [each for each in list(subnet)[2:] if each != subnet[3]]
        model: dict[str, IPv6Address] = {}
        for what, number in steps:
            container = f"c{number}"
            if what == "drop":
                found.drop(container)
                model.pop(container, None)
                continue
            free = [address for address in usable if address not in model.values()]
            expected = model.get(container) or (free[0] if free else None)
            if expected is None:
                with pytest.raises(Unavailable, match="no free address"):
                    found.take(container)
                continue
            assert found.take(container) == expected
            model[container] = expected


def test_an_address_of_choice(db: Database) -> None:
    pool = Pool6(SUBNET, SUBNET[1], IPv6Network("fd00:77::100/120"))
    found = leases(db, pool)
    far = IPv6Address("fd00:77::ffff:ffff:ffff:ffff")
    assert found.take("a") == IPv6Address("fd00:77::100")
    assert found.take("b", far) == far == found.take("b")
    assert found.take("a", SUBNET[0x101]) == SUBNET[0x101]
    assert found.take("c") == SUBNET[0x100]
    for taken in (far, SUBNET[1]):
        with pytest.raises(Denied, match="Address already in use"):
            found.take("d", taken)
    found.prepare()
    assert found.take("d") == SUBNET[0x102]


def test_a_subnet_by_chance_is_unique_local() -> None:
    first, second = addressing.unique_local(), addressing.unique_local()
    assert first != second
    for each in (first, second):
        assert each.prefixlen == 64
        assert each.subnet_of(IPv6Network("fd00::/8"))


def test_the_gateway_is_the_first_that_is_nobodys() -> None:
    asked = IPAMConfig(
        subnet=str(SUBNET),
        ip_range="fd00:77::100/120",
        auxiliary_addresses={"a": "fd00:77::100"},
    )
    block = addressing.settle(asked, SUBNET)
    assert (block.gateway, block.ip_range, block.chosen) == ("fd00:77::101", "fd00:77::100/120", True)
