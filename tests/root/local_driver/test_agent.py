"""The agent on a local host: how long it takes, what it puts there, and a version that does not start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.root.local_driver.conftest import Laptop
from tests.root.local_driver.test_life import seconds

pytestmark = pytest.mark.root

PING = r"""printf 'GET /_ping HTTP/1.0\r\n\r\n' | docker system dial-stdio"""


def test_ready_and_again_after_stop_and_start(computer: Laptop) -> None:
    output = computer.call("create", "dev1")
    steps = [line.split("|")[1] for line in output.splitlines() if line.startswith("done|")]
    agent = seconds(output, steps[-1])
    print(f"agent ready {agent:.2f} s after SSH")
    assert agent < 10, output  # goal 5 s, measured 1.1-1.8 s; other tests may share the machine
    version = computer.machine("dev1").agent
    assert version and computer.ssh("dev1", "readlink /opt/pymachine/current") == f"versions/{version}"
    assert computer.ssh("dev1", PING).endswith("OK")
    assert (
        computer.ssh("dev1", "stat -c '%a %G' /run/pymachine.sock /run/docker.sock")
        == "660 pymachine\n660 pymachine"
    )
    units = "pymachine.socket pymachine-docker.socket pymachine.service pymachine-containers.service"
    assert set(computer.ssh("dev1", f"systemctl is-enabled {units}").split()) == {"enabled"}
    assert computer.ssh("dev1", "systemctl is-system-running --wait") == "running"

    computer.call("stop", "dev1")
    output = computer.call("start", "dev1")
    assert "done|hostagent|" in output
    assert computer.ssh("dev1", PING).endswith("OK")


def test_the_daemon_comes_back_however_often_it_is_killed(computer: Laptop) -> None:
    computer.call("create", "dev1")
    holder = computer.ssh("dev1", "systemctl show -P MainPID pymachine-containers.service")
    kill = "for i in 1 2 3 4 5 6 7; do sudo systemctl kill -s KILL pymachine.service; sleep 0.8; done"
    computer.ssh("dev1", kill)
    assert computer.ssh("dev1", PING).endswith("OK")
    assert computer.ssh("dev1", "systemctl show -P MainPID pymachine-containers.service") == holder


def test_a_version_that_does_not_start_is_switched_back(computer: Laptop, tmp_path: Path) -> None:
    computer.call("create", "dev1")
    said = computer.call("break", "dev1", str(tmp_path), status=1)
    assert said.startswith("MachineError: the agent could not be installed") and "broken on purpose" in said
    assert (
        computer.ssh("dev1", "readlink /opt/pymachine/current")
        == f"versions/{computer.machine('dev1').agent}"
    )
    assert computer.ssh("dev1", PING).endswith("OK")
