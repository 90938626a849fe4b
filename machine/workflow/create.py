"""`pymachine create`: from a name to a host with an engine."""

from __future__ import annotations

import secrets
from dataclasses import replace

from machine.drivers.base import Ask
from machine.errors import MachineError
from machine.model.machine import Machine
from machine.model.registries import NONE, Registries
from machine.store.store import Store
from machine.workflow import interrupts
from machine.workflow.order import Agreed, admit, agree
from machine.workflow.plan import plan
from machine.workflow.progress import Progress, silent
from machine.workflow.runner import Runner
from machine.workflow.session import Session


def create(
    store: Store,
    driver_name: str,
    name: str,
    options: dict[str, str] | None = None,
    progress: Progress = silent,
    *,
    registries: Registries = NONE,
    ask: Ask = lambda question: False,
    keep: bool = False,
) -> Machine:
    """One machine, without a question about its price. Raises what `agree` and `make` raise."""
    agreed = agree(store, driver_name, [name], options, registries=registries, ask=ask)
    return make(store, agreed, name, progress, keep=keep)


def make(
    store: Store, agreed: Agreed, name: str, progress: Progress = silent, *, keep: bool = False
) -> Machine:
    """Makes the machine, or finishes one whose `create` failed or was killed: the steps that are done are kept.

    To finish it the driver's name is enough: what was asked for is on record. An error leaves a half-made
    machine, which `ls` shows, the same call finishes and `remove` undoes. Where that costs money, it is taken back at
    once unless `keep`; what was cut off (a signal) is never taken back.
    """
    driver = agreed.driver
    entry = store.entry(name)
    with store.lock(name):
        request = admit(store, entry, agreed.request)
        if not request.id:
            request = replace(request, id=secrets.token_hex(8))
        if not entry.journal.read().order:
            store.make(name)
            entry.journal.add("order", values=request.values())
        machine = entry.read() or Machine(
            name=name,
            driver=request.driver,
            address="",
            registry_mirrors=request.registries.mirrors,
            insecure_registries=request.registries.insecure,
            ends=request.ends,
        )
        with Session() as session:
            steps = plan(entry, driver, request, session)
            try:
                with interrupts.remembered():
                    machine = Runner(entry, progress).forward(steps, machine)
            except MachineError as error:
                if not driver.abilities.costs_money or keep:
                    raise
                try:
                    Runner(entry, progress).back(steps, entry.read() or machine)
                except MachineError as second:
                    raise MachineError(
                        f"{error}\nIt could not be taken back either ({second}). It may cost money until it is:  "
                        f"pymachine rm {name}     or:  pymachine gc {request.driver}"
                    ) from error
                store.forget(name)
                raise
        entry.journal.add("complete")
    return machine
