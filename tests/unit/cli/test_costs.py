"""What machines cost, as `create` and `ls` say it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from machine.cli.machine_create import price_line
from machine.cli.machine_ls import record
from machine.drivers.account import Quote
from machine.model.bill import Bill
from machine.model.machine import Machine
from machine.store.store import Summary
from machine.workflow.order import Offer

NOW = datetime.now(UTC)


def ago(hours: float) -> str:
    return (NOW - timedelta(hours=hours)).isoformat()


@pytest.mark.parametrize(
    ("bill", "total"),
    [
        (Bill(hourly="0.02", since=ago(10)), "0.2"),
        (Bill(hourly="0.02", spent="1.5", since=ago(10)), "1.7"),
        (Bill(hourly="0.02", spent="1.5"), "1.5"),
        (Bill(hourly="0.02", since=ago(-1)), "0"),  # the provider's clock is ahead of ours
    ],
)
def test_a_bill(bill: Bill, total: str) -> None:
    assert bill.total(NOW) == Decimal(total)
    assert bill.stopped().since == "" and bill.stopped().total(NOW + timedelta(hours=9)) >= Decimal(total)
    assert bill.running().running() == bill.running() and bill.running().since


@pytest.mark.parametrize(
    ("offer", "line"),
    [
        (Offer(("a",), Quote("t3.small", Decimal("0.0240"))), "  t3.small: $0.024/h"),
        (
            Offer(("a", "b"), Quote("t3.small", Decimal("0.0240"))),
            "  2 x t3.small: $0.024/h each, $0.048/h together",
        ),
        (
            Offer(("a", "b"), Quote("t3.small", Decimal("0.0240")), ("8h", 28800.0)),
            "  2 x t3.small: $0.024/h each, $0.048/h together, $0.38 until they end themselves",
        ),
        (Offer(("a",), Quote("t3.small", None), ("8h", 28800.0)), "  t3.small: price unknown"),
    ],
)
def test_the_price_before_anything_is_made(offer: Offer, line: str) -> None:
    assert price_line(offer) == line


def test_ls() -> None:
    def shown(machine: Machine, state: str = "running") -> list[object]:
        found = record(Summary("a", "aws", machine, True, "", False), state, None)
        return [found[key] for key in ("Hourly", "Spent", "Ends")]

    machine = Machine(name="a", driver="aws", address="192.0.2.1")
    assert shown(machine) == ["-", "-", "-"]
    bill = Bill(hourly="0.5", since=ago(4))
    ends = (NOW + timedelta(hours=6, minutes=12, seconds=30)).isoformat()
    assert shown(Machine(name="a", driver="aws", address="", bill=bill, ends=ends)) == [
        "0.5",
        "2.00",
        "in 6h 12m",
    ]
    # It ended two hours ago, and costs nothing since.
    over = Machine(name="a", driver="aws", address="", bill=bill, ends=ago(2))
    assert shown(over, "absent") == ["0.5", "1.00", "-"]
    assert Machine.from_json(over.to_json()) == over
