"""kill -9 of `create` at any moment: the same call finishes the machine, or rm leaves nothing of it."""

from __future__ import annotations

import random
import signal
import time

import pytest

from tests.root.local_driver.conftest import Laptop

pytestmark = pytest.mark.root

# Seconds, spread over a create that takes about three.
RESUMED = ((0.7, 2.2), pytest.param((0.3, 0.5, 0.9, 1.3, 1.7, 2.0, 2.6), marks=pytest.mark.long))
REMOVED = ((0.4, 1.6), pytest.param((0.2, 0.3, 0.6, 0.9, 1.2, 2.2), marks=pytest.mark.long))
CUT_OFF = ((0.15, 0.3), pytest.param((0.12, 0.2, 0.25, 0.4), marks=pytest.mark.long))


def kill_create(computer: Laptop, moment: float) -> bool:
    """Whether it was still running when the signal came."""
    process = computer.process("create", "dev1")
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    return process.returncode == -signal.SIGKILL


def check(computer: Laptop) -> None:
    """It is whole: reachable by its rotated key, and its engine answers."""
    (summary,) = computer.store.list()
    assert summary.complete and summary.machine is not None
    assert summary.machine.agent and summary.machine.next_host_key is None
    assert computer.ssh("dev1", "hostname; systemctl is-active pymachine.service") == "dev1\nactive"


@pytest.mark.parametrize("moments", RESUMED)
def test_resumed(computer: Laptop, moments: tuple[float, ...]) -> None:
    for moment in moments:
        if kill_create(computer, moment):
            computer.call("create", "dev1")
        check(computer)
        computer.call("rm", "dev1")
        assert computer.remains() == [], moment


@pytest.mark.parametrize("moments", REMOVED)
def test_removed(computer: Laptop, moments: tuple[float, ...]) -> None:
    for moment in moments:
        kill_create(computer, moment)
        if computer.store.names():
            computer.call("rm", "dev1")
        assert computer.remains() == [], moment


@pytest.mark.parametrize("kills", [4, pytest.param(40, marks=pytest.mark.long)])
def test_killed_again_and_again(computer: Laptop, kills: int) -> None:
    chance = random.Random(kills)
    for _ in range(kills):
        kill_create(computer, chance.uniform(0.1, 1.5))
        if computer.store.names() and computer.store.list()[0].complete:
            computer.call("rm", "dev1")
    computer.call("create", "dev1")
    check(computer)


@pytest.mark.parametrize("moments", CUT_OFF)
def test_a_killed_removal_is_finished(computer: Laptop, moments: tuple[float, ...]) -> None:
    computer.call("host", "dev1")
    for moment in moments:
        process = computer.process("rm", "dev1")
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        if not computer.store.names():
            computer.call("host", "dev1")
    computer.call("rm", "dev1")
    assert computer.remains() == []
