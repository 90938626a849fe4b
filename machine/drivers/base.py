"""What every driver is: a maker and keeper of hosts that an SSH provisioner can take over.

A driver says what it can do (`abilities`) and gives the visible steps that make a host. It journals nothing
and prints nothing: the workflow runs its steps, saves the record after each, and reports. A driver whose hosts
live in somebody's account has an `account` too (machine.drivers.account).

tests/root/drivers holds the suite that every driver passes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

from cloud_init.spec import HostSpec
from machine.errors import Usage
from machine.model.machine import Machine
from machine.store.store import Store

if TYPE_CHECKING:
    from machine.drivers.account import Account

SETTLED: Final = "settled "
State = Literal["running", "stopped", "absent", "unknown"]
Ask = Callable[[str], bool]  # a question to whoever watches, answered by yes or no; no when nobody does
Say = Callable[[str], None]  # a few words on what a step is doing now, for whoever watches

# Other people's drivers are found by this group of entry points (packaging.python.org, "Entry points specification"):
# a name, and a function that takes the Store and returns the Driver.
ENTRY_POINTS: Final = "pymachine.drivers"
# One line per driver of ours: a name and the module whose `driver()` makes it (imported when it is asked for).
DRIVERS: Final = {
    "aws": "machine.drivers.aws",
    "local": "machine.drivers.local",
    "ssh": "machine.drivers.ssh",
}


@dataclass(frozen=True)
class Abilities:
    """What a driver can do with its hosts, beyond leading to them."""

    makes_hosts: bool  # False: they are somebody's, are never started, stopped, renamed or removed

    stop: bool  # can be stopped and started again, keeping its disk
    address_survives_stop: bool
    costs_money: bool  # a create that failed is rolled back, and `create` shows a price and asks
    ends_itself: bool  # keeps Order.ends: a host that powers itself off goes, with its disk and all costs


@dataclass(frozen=True)
class Order:
    """What is to be made. `directory` is for the driver's files, which it makes and removes.

    `spec` is asked for when the user-data is written; undoing needs none. `id` is this order's alone: 16 hex
    digits, on record before anything is made. What a provider makes is tagged with it.
    """

    name: str
    id: str
    directory: Path
    options: dict[str, str]  # the driver's own; those it does not know are refused by `check`
    spec: Callable[[], HostSpec]
    ends: str = (
        ""  # RFC 3339, UTC: the host powers itself off then, and is to be removed by that; empty: never
    )


class Step(Protocol):
    """One visible part of making a machine. Doing it twice, or after half of it was done, is harmless."""

    @property
    def name(self) -> str:
        """Its key in the journal and its title for people; never changes within a release series."""

    def describe(self) -> str:
        """What it will do, in one line."""

    def execute(self, machine: Machine, say: Say) -> Machine:
        """Does it, and returns the record with what has become known. The last words said stay on display."""

    def undo(self, machine: Machine, say: Say) -> None:
        """Takes it back, however far it came. Nothing to take back is no error, and nothing is said then."""


class Driver(Protocol):
    name: str
    abilities: Abilities
    options: Mapping[str, str]  # what an order may hold, with a line on each for people
    account: Account | None  # None: there is no account in which the hosts could be found again

    def check_access(self) -> None:
        """Raises Unsupported or Denied, in one sentence that says what to do, if nothing can be done from here."""

    def check_order(self, options: dict[str, str]) -> None:
        """Raises Unsupported or Usage, in one sentence that says what to do, before anything is made."""

    def settle(self, options: dict[str, str], ask: Ask) -> dict[str, str]:
        """The order in full, before anything is made: what is missing in it is looked up, or asked for.

        Raises what stands in the way of it. Keys that nobody types begin with SETTLED.
        """

    def prepare(self, say: Say) -> tuple[str, str]:
        """Fetches and builds what `create` would have to, so that it then needs no network.

        Returns the Python ("3.11") and the architecture (as `uname -m` has it) of the hosts that it makes.
        """

    def user(self) -> str:
        """The account that `steps` lead to."""

    def packages(self) -> tuple[str, ...]:
        """Debian packages that cloud-init has to install, because the driver's images lack them."""

    def steps(self, order: Order) -> tuple[Step, ...]:
        """From nothing to a host that boots; afterwards the record has its address."""

    def start(self, machine: Machine, say: Say) -> Machine:
        """Starts a stopped host; the record returned has its address, which may be a new one."""

    def stop(self, machine: Machine, say: Say, *, patience: float) -> None:
        """Stops it, gracefully for `patience` seconds. A stopped host is no error."""

    def state(self, machine: Machine) -> State: ...

    def check_booting(self, machine: Machine) -> None:
        """Raises Spoiled, with what to do, when nobody will ever log in to the host as it is now."""

    def console(self, machine: Machine) -> str:
        """The last lines that the host wrote to its console; empty when there are none to be had."""


def get(name: str, store: Store) -> Driver:
    """The driver called `name`; raises Usage naming those that there are."""
    module = DRIVERS.get(name)
    if module is not None:
        make: Callable[[Store], Driver] = importlib.import_module(module).driver
        return make(store)
    from importlib.metadata import entry_points

    theirs = entry_points(group=ENTRY_POINTS)
    if name not in theirs.names:
        raise Usage(f'there is no driver "{name}". There is: {", ".join(sorted({*DRIVERS, *theirs.names}))}')
    make = theirs[name].load()
    return make(store)
