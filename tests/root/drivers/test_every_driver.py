"""What the workflow relies on in every driver: declared abilities are kept, and steps may be done and undone twice."""

from __future__ import annotations

import pytest

from machine.drivers.base import DRIVERS, Step
from machine.errors import MachineError, Unsupported, Usage
from machine.model.machine import Machine
from tests.root.drivers.conftest import RIGS, Rig


def test_each_has_a_rig() -> None:
    assert set(DRIVERS) == set(RIGS)


def test_what_it_says_of_itself(rig: Rig) -> None:
    driver = rig.driver
    assert DRIVERS[driver.name]
    assert all(line and "\n" not in line for line in driver.options.values())
    can = driver.abilities
    assert can.makes_hosts or not (can.stop or can.costs_money or can.ends_itself)
    # What costs money has to be found again when a laptop is lost.
    assert driver.account is not None or not can.costs_money
    driver.check_access()


def test_orders_are_checked_before_anything_is_made(rig: Rig) -> None:
    rig.driver.check_order(rig.options)
    for wrong in (*rig.wrong, {**rig.options, "no-such-option": "1"}):
        with pytest.raises(MachineError) as caught:
            rig.driver.check_order(wrong)
        assert "\n" not in str(caught.value) and isinstance(caught.value, Usage | Unsupported)
    assert not rig.store.names() and not rig.left()


def done(steps: tuple[Step, ...], machine: Machine) -> Machine:
    for step in steps:
        machine = step.execute(machine, lambda text: None)
    return machine


def undone(steps: tuple[Step, ...], machine: Machine) -> list[str]:
    said: list[str] = []
    for step in reversed(steps):
        step.undo(machine, said.append)
    return said


def test_a_life(rig: Rig) -> None:
    driver, order = rig.driver, rig.order()
    steps = driver.steps(order)
    assert [step.name for step in driver.steps(order)] == [step.name for step in steps]
    assert len({step.name for step in steps}) == len(steps) > 0
    assert all("\n" not in step.describe() for step in steps)
    undone(steps, rig.machine())  # before anything was done
    assert not rig.left()

    try:
        machine = done(steps, rig.machine())
        rig.store.save(machine)
        assert machine.address and driver.state(machine) == "running"
        again = done(driver.steps(order), machine)
        assert again.address and driver.state(again) == "running"
        rig.store.save(again)
        driver.check_booting(again)
        assert isinstance(driver.console(again), str)
        if driver.abilities.stop:
            again = powered(rig, again)
        else:
            for verb in (lambda: driver.start(again, print), lambda: driver.stop(again, print, patience=1)):
                with pytest.raises(Unsupported, match="its owner does"):
                    verb()
    finally:
        undone(steps, rig.store.get("dev1"))
    assert not rig.left()
    if driver.abilities.makes_hosts:
        assert driver.state(again) == "absent"
    undone(steps, again)  # once more


def powered(rig: Rig, machine: Machine) -> Machine:
    """Off twice and on twice."""
    driver, address = rig.driver, machine.address
    for _ in range(2):
        driver.stop(machine, lambda text: None, patience=5)
        assert driver.state(machine) == "stopped"
    for _ in range(2):
        machine = driver.start(machine, lambda text: None)
        rig.store.save(machine)
        assert driver.state(machine) == "running" and machine.address
    if driver.abilities.address_survives_stop:
        assert machine.address == address
    return machine
