"""`pymachine rm`: undoes what `create` did, however far it came."""

from __future__ import annotations

from machine.drivers import base as drivers
from machine.errors import MachineError, Usage
from machine.model.machine import Machine
from machine.store.store import Store
from machine.workflow.plan import plan
from machine.workflow.progress import Progress, silent
from machine.workflow.provision import AgentStep
from machine.workflow.request import Request
from machine.workflow.runner import Runner
from machine.workflow.session import Session


def remove(store: Store, name: str, progress: Progress = silent, *, keep: bool = False) -> None:
    """Removes the machine with all that is on it. What was cut off is finished by the same call.

    A host that was there before pymachine stays, without the engine; `keep`: it keeps the engine too, with all
    that it holds, and only its record goes. Usage: `keep` for a host that would be left without an owner.

    Raises NotFound; MachineError when the record no longer says which driver made it. It does not ask: that is
    the caller's part, and it needs the engine to list what would be lost.
    """
    entry = store.entry(name)
    if not entry.directory.is_dir():
        store.get(name)  # raises NotFound, with the names that there are
    with store.lock(name):
        history = entry.journal.read()
        machine = entry.read()
        driver_name = machine.driver if machine is not None else history.order.get("driver")
        if driver_name is not None:
            driver = drivers.get(driver_name, store)
            driver.check_access()
            if keep and driver.abilities.makes_hosts:
                raise Usage(
                    f"--keep is for hosts that were there before; {name} was made by pymachine, and nobody could "
                    "reach it any more. Leave it as it is, or remove it without --keep"
                )
            request = Request.of(history.order, driver_name)
            with Session() as session:
                steps = plan(entry, driver, request, session)
                if keep:
                    steps = tuple(step for step in steps if not isinstance(step, AgentStep))
                Runner(entry, progress).back(
                    steps, machine or Machine(name=name, driver=driver_name, address="")
                )
        elif history.state:
            raise MachineError(f"{entry.directory} does not say which driver made it: restore machine.json")
        store.forget(name)
