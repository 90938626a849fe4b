"""The steps that make a machine, in order. `create` runs them, `rm` undoes them: one list for both."""

from __future__ import annotations

from typing import Final

from hostagent import VERSION
from machine.drivers.base import Driver, Order, Step
from machine.store.store import Entry
from machine.workflow.existing import InspectStep, PackagesStep
from machine.workflow.identity import KeysStep, host_spec
from machine.workflow.provision import AgentStep
from machine.workflow.publish import PublishStep
from machine.workflow.reach import RotateHostKeyStep, SshStep
from machine.workflow.request import Request
from machine.workflow.session import Session

_REACHABLE: Final = 10.0  # seconds for a host that is up already


def plan(entry: Entry, driver: Driver, request: Request, session: Session) -> tuple[Step, ...]:
    """Every step takes the record and returns it, with what it found out.

    A host that was there before keeps its keys and its settings: nothing is made or rotated on it.
    """
    order = Order(
        name=entry.name,
        directory=entry.directory / driver.name,
        id=request.id,
        options=request.options,
        ends=request.ends,
        spec=lambda: host_spec(entry, driver, request),
    )
    if not driver.abilities.makes_hosts:
        return (
            *driver.steps(order),
            SshStep(driver, session, deadline=_REACHABLE),
            InspectStep(session),
            PackagesStep(session),
            AgentStep(session, VERSION, whole_host=False),
        )
    return (
        KeysStep(entry, driver),
        *driver.steps(order),
        SshStep(driver, session),
        RotateHostKeyStep(entry, session),
        AgentStep(session, VERSION, whole_host=True),
        *(() if driver.account is None else (PublishStep(driver.account, request),)),
    )
