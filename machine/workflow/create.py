"""`pymachine create`: from a name to a host with an engine."""

from __future__ import annotations

from dataclasses import replace

from machine.drivers import base as drivers
from machine.drivers.base import Ask
from machine.errors import Conflict
from machine.model.machine import Machine, check_name
from machine.model.registries import NONE, Registries
from machine.store.store import Entry, Store
from machine.workflow.plan import plan
from machine.workflow.progress import Progress, silent
from machine.workflow.request import Request
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
) -> Machine:
    """Makes the machine, or finishes one whose `create` failed or was killed: the steps that are done are kept.

    To finish it the driver's name is enough: what was asked for is on record. Raises Usage, Unsupported, Conflict
    before anything is made; later errors leave a half-made machine, which `ls` shows, the same call finishes and
    `remove` undoes.
    """
    check_name(name)
    driver = drivers.get(driver_name, store)
    request = Request(driver_name, options or {}, registries)
    driver.check_access()
    entry = store.entry(name)
    driver.check_order(_admit(store, entry, request).options)
    with store.lock(name):
        request = _admit(store, entry, request)
        if not entry.journal.read().order:
            request = replace(request, options=driver.settle(request.options, ask))
            store.make(name)
            entry.journal.add("order", values=request.values())
        machine = entry.read() or Machine(
            name=name,
            driver=driver_name,
            address="",
            registry_mirrors=request.registries.mirrors,
            insecure_registries=request.registries.insecure,
        )
        with Session() as session:
            machine = Runner(entry, progress).forward(plan(entry, driver, request.options, session), machine)
        entry.journal.add("complete")
    return machine


def _admit(store: Store, entry: Entry, request: Request) -> Request:
    """What to make. Raises Conflict unless the name is free, or belongs to the same request, half done."""
    history = entry.journal.read()
    if history.complete:
        machine = store.get(entry.name)
        raise Conflict(
            f'a machine "{entry.name}" exists ({machine.driver}, made {machine.created[:16].replace("T", " ")} UTC). '
            f"Choose another name, or:  pymachine rm {entry.name}"
        )
    if history.removing:
        raise Conflict(f'"{entry.name}" is half removed. Finish that first:  pymachine rm {entry.name}')
    if not history.order:
        return request
    begun = Request.of(history.order, request.driver)
    if not request.part_of(begun):
        raise Conflict(
            f'"{entry.name}" was begun otherwise. Finish that:  {begun.command(entry.name)}     '
            f"or undo it:  pymachine rm {entry.name}"
        )
    return begun
