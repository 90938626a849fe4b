"""`pymachine create`: from a name to a host with an engine."""

from __future__ import annotations

from machine.drivers import base as drivers
from machine.errors import Conflict
from machine.model.machine import Machine, check_name
from machine.store.store import Entry, Store
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
) -> Machine:
    """Makes the machine, or finishes one whose `create` failed or was killed: the steps that are done are kept.

    Raises Usage, Unsupported, Conflict before anything is made; later errors leave a half-made machine, which `ls`
    shows, the same call finishes and `remove` undoes.
    """
    check_name(name)
    driver = drivers.get(driver_name, store)
    options = options or {}
    driver.check_access()
    driver.check_order(options)
    with store.lock(name):
        entry = store.entry(name)
        order = {"driver": driver_name, **{f"option {key}": value for key, value in options.items()}}
        _admit(store, entry, order)
        store.make(name)
        if not entry.journal.read().order:
            entry.journal.add("order", values=order)
        machine = entry.read() or Machine(name=name, driver=driver_name, address="")
        with Session() as session:
            machine = Runner(entry, progress).forward(plan(entry, driver, options, session), machine)
        entry.journal.add("complete")
    return machine


def _admit(store: Store, entry: Entry, order: dict[str, str]) -> None:
    """Raises Conflict unless the name is free, or belongs to the same order, half done."""
    history = entry.journal.read()
    if history.complete:
        machine = store.get(entry.name)
        raise Conflict(
            f'a machine "{entry.name}" exists ({machine.driver}, made {machine.created[:16].replace("T", " ")} UTC). '
            f"Choose another name, or:  pymachine rm {entry.name}"
        )
    if history.removing:
        raise Conflict(f'"{entry.name}" is half removed. Finish that first:  pymachine rm {entry.name}')
    if history.order and history.order != order:
        asked = ", ".join(f"{key} {value}" for key, value in sorted(history.order.items()))
        raise Conflict(
            f'"{entry.name}" was begun otherwise ({asked}). Finish that with the same arguments, '
            f"or undo it:  pymachine rm {entry.name}"
        )
