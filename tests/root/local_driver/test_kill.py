"""kill -9 of `create` at any moment: the same call finishes the machine, or rm leaves nothing of it."""

from __future__ import annotations

import random
import signal
import time

import pytest

from tests.root.local_driver.conftest import Laptop

pytestmark = pytest.mark.root

# Moments (seconds) spread over a create that takes about two; the host's boot is where most can go wrong.
MOMENTS = (0.15, 0.35, 0.5, 0.7, 1.2, 1.8)


def kill_create(computer: Laptop, moment: float) -> bool:
    """Whether it was still running when the signal came."""
    process = computer.process("host", "dev1")
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    return process.returncode == -signal.SIGKILL


def test_resumed(computer: Laptop) -> None:
    for moment in MOMENTS:
        if kill_create(computer, moment):
            computer.call("host", "dev1")
        (summary,) = computer.store.list()
        assert summary.complete and summary.machine is not None, moment
        assert computer.ssh("dev1", "hostname") == "dev1", moment
        assert computer.machine("dev1").next_host_key is None
        computer.call("rm", "dev1")
        assert computer.remains() == [], moment


def test_removed(computer: Laptop) -> None:
    for moment in MOMENTS:
        kill_create(computer, moment)
        if computer.store.names():
            computer.call("rm", "dev1")
        assert computer.remains() == [], moment


def test_killed_again_and_again(computer: Laptop) -> None:
    chance = random.Random(1)
    for _ in range(4):
        kill_create(computer, chance.uniform(0.1, 1.5))
    if not computer.store.names() or not computer.store.list()[0].complete:
        computer.call("host", "dev1")
    assert computer.ssh("dev1", "hostname") == "dev1"


def test_a_killed_removal_is_finished(computer: Laptop) -> None:
    computer.call("host", "dev1")
    for moment in (0.12, 0.2, 0.3, 0.4):
        process = computer.process("rm", "dev1")
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        if not computer.store.names():
            computer.call("host", "dev1")
    computer.call("rm", "dev1")
    assert computer.remains() == []
