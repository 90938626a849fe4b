"""An outside client, a host with a bridge network, and containers, each in a namespace of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

import pytest

from hostagent.network.bridge import BridgeNetwork
from hostagent.statedb.database import Database
from tests.root.network.places import Container, Place

HOST, OUTSIDE = "198.51.100.1", "198.51.100.2"  # TEST-NET-2, RFC 5737
BRIDGE, TABLE = "pmtest0", "pmtest"


@dataclass(frozen=True)
class World:
    """The test runs in `host`'s namespace."""

    outside: Place
    host: Place
    db: Database
    network: BridgeNetwork
    container: Callable[[str], Container]


@pytest.fixture
def world() -> Iterator[World]:
    with ExitStack() as stack:
        outside, host = (stack.enter_context(closing(Place())) for _ in range(2))
        host.run(f"ip link add uplink0 type veth peer name eth0 netns {outside.path}")
        for place, name, address in ((host, "uplink0", HOST), (outside, "eth0", OUTSIDE)):
            place.run(f"ip address add {address}/24 dev {name}")
            place.run(f"ip link set {name} up")
        host.run(f"ip route add default via {OUTSIDE}")
        stack.enter_context(host.inside())
        db = stack.enter_context(closing(Database(":memory:")))
        network = stack.enter_context(closing(BridgeNetwork(db, BRIDGE, TABLE)))
        network.ensure()

        def container(letter: str) -> Container:
            return stack.enter_context(closing(Container(network, letter * 64)))

        yield World(outside, host, db, network, container)
