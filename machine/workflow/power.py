"""`pymachine start` and `stop`. Images and stopped containers stay on the host's disk."""

from __future__ import annotations

from dataclasses import replace

from machine.drivers import base as drivers
from machine.drivers.base import Ask
from machine.errors import Conflict, Unsupported
from machine.model.machine import Machine
from machine.store.store import Store, resume_hint
from machine.workflow.phase import Phase
from machine.workflow.progress import Progress, silent
from machine.workflow.session import Session

_PATIENCE = 30.0  # seconds for containers and units to end by themselves


def start(
    store: Store, name: str, progress: Progress = silent, *, ask: Ask = lambda question: False
) -> Machine:
    """Starts a stopped machine and returns when its engine answers. A running one is no error.

    `ask`: before it is opened to the address that we come from now, if that has changed.
    """
    driver = _driver(store, name)
    with store.lock(name), Session() as session:
        machine = store.get(name)
        with Phase(progress, f"host {name}", "start the host") as phase:
            if driver.account is not None:
                driver.account.admit(machine, ask, phase.say)
            machine = driver.start(machine, phase.say)
            if machine.bill is not None:
                machine = replace(machine, bill=machine.bill.running())
            store.save(machine)
            phase.say(machine.address)
        with Phase(progress, "ssh, host key verified", "log in") as phase:
            connection = session.first(machine, driver, phase.say, deadline=300)
            phase.say(f"{machine.user}@{machine.address}")  # not why an attempt before had failed
        with Phase(progress, "hostagent", "wait until the engine is up") as phase:
            # A notify service: the job ends when the daemon has said that it is ready.
            connection.run("sudo -n systemctl start pymachine.socket pymachine.service", timeout=120)
    return machine


def stop(store: Store, name: str, progress: Progress = silent, *, patience: float = _PATIENCE) -> None:
    """Stops a machine; its containers get their stop signals. A stopped one is no error."""
    from machine.client.keeper_start import stop_keeper

    driver = _driver(store, name)
    with store.lock(name):
        machine = store.get(name)
        with Phase(progress, f"host {name}", "stop the host") as phase:
            stop_keeper(name)
            driver.stop(machine, phase.say, patience=patience)
            if machine.bill is not None:
                store.save(replace(machine, bill=machine.bill.stopped()))


def state(store: Store, machine: Machine, driver: drivers.Driver | None = None) -> drivers.State:
    """What the driver says; "unknown" when it cannot be asked from here (another user, another system).

    `driver`: the machine's, if the caller has it already, with connections that it can use again.
    """
    driver = driver or drivers.get(machine.driver, store)
    try:
        driver.check_access()
    except Unsupported:
        return "unknown"
    return driver.state(machine)


def _driver(store: Store, name: str) -> drivers.Driver:
    machine = store.get(name)
    entry = store.entry(name)
    if not entry.journal.read().complete:
        raise Conflict(f'machine "{name}" is half made.  Finish it:  {resume_hint(entry)}')
    driver = drivers.get(machine.driver, store)
    driver.check_access()
    if not driver.abilities.stop:
        raise Unsupported(
            f"{name} was there before pymachine, which neither starts nor stops it: its owner does "
            f"(pymachine ssh {name} -- sudo systemctl poweroff)"
        )
    return driver
