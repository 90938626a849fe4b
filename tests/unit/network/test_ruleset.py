"""The nftables table as text, compared with golden files (PYMACHINE_UPDATE_GOLDEN=1 writes them)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hostagent.network import ruleset
from hostagent.network.ruleset import PublishedPort

GOLDEN = Path(__file__).parent / "golden"
PORTS = (
    PublishedPort("tcp", "", 8080, "172.17.0.2", 80),
    PublishedPort("udp", "", 53, "172.17.0.3", 5353),
    PublishedPort("tcp", "127.0.0.1", 8080, "172.17.0.4", 80),
)
SIX = (
    PublishedPort("tcp", "::", 8080, "fd00:77::2", 80),
    PublishedPort("tcp", "2001:db8::1", 8080, "fd00:77::3", 80),
    PublishedPort("tcp", "::1", 8082, "172.17.0.2", 80),  # not nftables' work
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("table.nft", ruleset.replace_table("pymachine", "pm0", "172.17.0.0/16", PORTS)),
        ("table-empty.nft", ruleset.replace_table("pymachine", "pm0", "172.17.0.0/16", ())),
        (
            "tables-six.nft",
            ruleset.replace_tables("pymachine", "pm0", ["172.17.0.0/16", "fd00:77::/64"], [*PORTS, *SIX]),
        ),
        ("add-six.nft", ruleset.add_ports("pymachine", [*PORTS, *SIX])),
        ("add.nft", ruleset.add_ports("pymachine", PORTS)),
        ("delete.nft", ruleset.delete_ports("pymachine", PORTS)),
        ("remove.nft", ruleset.remove_table("pymachine")),
    ],
)
def test_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("PYMACHINE_UPDATE_GOLDEN") == "1":
        path.write_text(text)
    assert text == path.read_text()


def test_nothing_is_no_command() -> None:
    assert ruleset.add_ports("pymachine", ()) == ""
    assert ruleset.delete_ports("pymachine", ()) == ""
