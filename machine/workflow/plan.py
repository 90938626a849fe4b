"""The steps that make a machine, in order. `create` runs them, `rm` undoes them: one list for both."""

from __future__ import annotations

from hostagent import VERSION
from machine.drivers.base import Driver, Order, Step
from machine.store.store import Entry
from machine.workflow.identity import KeysStep, host_spec
from machine.workflow.provision import AgentStep
from machine.workflow.reach import RotateHostKeyStep, SshStep
from machine.workflow.session import Session


def plan(entry: Entry, driver: Driver, options: dict[str, str], session: Session) -> tuple[Step, ...]:
    """Every step takes the record and returns it, with what it found out."""
    order = Order(
        name=entry.name,
        directory=entry.directory / driver.name,
        options=options,
        spec=lambda: host_spec(entry, driver),
    )
    return (
        KeysStep(entry, driver),
        *driver.steps(order),
        SshStep(driver, session),
        RotateHostKeyStep(entry, session),
        AgentStep(session, VERSION),
    )
