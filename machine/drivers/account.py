"""What a provider's account knows: prices, who may come in, and what of ours is there, without any local state."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, Protocol

from machine.drivers.base import Ask, Say
from machine.model.machine import Machine

# Of a machine: its create has not ended, it is whole. Of anything else: nobody uses it, or somebody does.
Condition = Literal["half made", "whole", "unused", "in use"]


@dataclass(frozen=True)
class Quote:
    """What one machine of an order will be, and cost. `hourly` None: nobody could say (`note` has why)."""

    what: str  # "t4g.small (arm64), eu-central-1, debian-12, 10 GB gp3"
    hourly: Decimal | None  # US dollars, with its disk and its public address
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A thing in the account that pymachine made. `machine`: a whole one's record, as far as the account knows it."""

    kind: str  # "machine", "disk", "security group"
    id: str  # the provider's
    place: str  # region
    name: str  # the machine's; empty for what machines share
    order: str  # Order.id of the create that made it; empty for what machines share
    condition: Condition
    by: str  # who made it, as the provider calls them
    age: float  # seconds
    machine: Machine | None = None
    options: dict[str, str] = field(default_factory=dict)  # of an order that made it, enough to undo it


class Account(Protocol):
    def quote(self, options: dict[str, str]) -> Quote:
        """The price of a settled order."""

    def publish(self, machine: Machine, order_id: str, options: dict[str, str], say: Say) -> Machine:
        """Writes beside the machine what others need to take it over, and that it is whole. Twice is harmless.

        The record returned has its bill, if its price can be known.
        """

    def admit(self, machine: Machine, ask: Ask, say: Say) -> None:
        """Lets us in where we come from now, if that has changed and `ask` agrees; Denied if it does not."""

    def found(self, options: dict[str, str], say: Say) -> list[Found]:
        """All that pymachine made there (in one region, if the options name it or are settled), by tags alone."""

    def discard(self, found: Found, options: dict[str, str], say: Say) -> None:
        """Removes it. What is gone already is no error."""
