"""`pymachine adopt`: a machine that is in the account becomes one of this laptop's too, from its tags."""

from __future__ import annotations

from collections.abc import Sequence

from machine.drivers.account import Found
from machine.drivers.base import Say
from machine.errors import Conflict, Denied, MachineError, NotFound
from machine.model.machine import Machine, check_name
from machine.store.store import Store
from machine.workflow.collect import account_of, known
from machine.workflow.phase import Phase
from machine.workflow.progress import Progress, silent
from machine.workflow.request import Request

_REACHABLE = 20.0  # seconds


def adoptable(store: Store, driver_name: str, options: dict[str, str], say: Say) -> list[Found]:
    """Whole machines in the account that this laptop does not know."""
    ours = known(store)
    found = account_of(store, driver_name).found(options, say)
    return [thing for thing in found if thing.condition == "whole" and thing.order not in ours]


def choose(found: Sequence[Found], names: Sequence[str], driver_name: str) -> list[Found]:
    """Those of `names` (all: none named). NotFound, Conflict: two in different regions have the name."""
    if not names:
        return list(found)
    chosen = []
    for name in names:
        fitting = [thing for thing in found if thing.name == name]
        if not fitting:
            there = ", ".join(sorted({thing.name for thing in found})) or "none"
            raise NotFound(f'no machine "{name}" is to be adopted from {driver_name}. There is: {there}')
        if len(fitting) > 1:
            places = ", ".join(thing.place for thing in fitting)
            raise Conflict(f'there is a machine "{name}" in {places}: say which, with -o region=REGION')
        chosen += fitting
    return chosen


def adopt(store: Store, driver_name: str, thing: Found, progress: Progress = silent) -> Machine:
    """Afterwards it is as if it had been created here. The account says its host key: nothing is trusted on first use.

    One's own keys must be admitted there (agent, ~/.ssh); Denied otherwise, and nothing is recorded.
    """
    from machine.ssh.connect import connect

    machine = thing.machine
    if machine is None:
        raise MachineError(f"{thing.name} is not whole")
    name = check_name(machine.name)
    with store.lock(name):
        if store.exists(name):
            raise Conflict(
                f'a machine "{name}" is known here already, another one: rename or remove that first'
            )
        if machine.address:
            with Phase(progress, "ssh, host key verified", "log in with a key of yours"):
                try:
                    connect(machine, timeout=_REACHABLE).close()
                except Denied as error:
                    raise Denied(
                        f"{name} admits none of your keys: ask {thing.by} to add one of yours to "
                        f"~{machine.user}/.ssh/authorized_keys on it ({error})"
                    ) from error
        entry = store.make(name)
        entry.journal.add("order", values=Request(driver_name, thing.options, id=thing.order).values())
        entry.write(machine)
        entry.journal.add("complete")
    return machine
