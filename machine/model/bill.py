"""What a machine has cost: reckoned here from the price of its hour; the provider's invoice is the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal


@dataclass(frozen=True, kw_only=True)
class Bill:
    """US dollars. `spent` is until `since` (RFC 3339), from when on it runs; empty: it is stopped."""

    hourly: str
    spent: str = "0"
    since: str = ""

    def total(self, now: datetime) -> Decimal:
        hours = Decimal(0)
        if self.since:
            hours = Decimal((now - datetime.fromisoformat(self.since)).total_seconds()) / 3600
        return Decimal(self.spent) + Decimal(self.hourly) * max(hours, Decimal(0))

    def running(self) -> Bill:
        """From now on, if it does not run yet."""
        return self if self.since else replace(self, since=_text(datetime.now(UTC)))

    def stopped(self) -> Bill:
        """What a stopped machine's disk costs is left out."""
        return replace(self, spent=f"{self.total(datetime.now(UTC)):.6f}", since="")


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
