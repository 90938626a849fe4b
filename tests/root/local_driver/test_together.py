"""Two machines at once, and two homes at once, in one network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.root.local_driver.conftest import Laptop, clear

pytestmark = pytest.mark.root


def test_they_do_not_disturb_each_other(computer: Laptop, tmp_path: Path) -> None:
    second = Laptop(computer.namespace, tmp_path / "second")
    three = ((computer, "dev1"), (computer, "dev2"), (second, "dev1"))
    try:
        processes = [laptop.process("host", name) for laptop, name in three]
        said = ["".join(process.communicate(timeout=180)) for process in processes]
        assert [process.returncode for process in processes] == [0, 0, 0], "\n".join(said)
        for laptop, name in three:
            assert laptop.ssh(name, "hostname") == name
        assert len({laptop.machine(name).address for laptop, name in three}) == 3
        subnets = {laptop.machine(name).driver_data["subnet"] for laptop, name in three}
        assert subnets == {"10.89.0.0/24", "10.89.1.0/24"}
        assert len(computer.links()) == 5  # a bridge each, and three ports
        other = computer.machine("dev2").address
        assert "1 received" in computer.ssh("dev1", f"ping -c 1 -W 3 {other}")

        computer.call("rm", "dev1")
        assert computer.ssh("dev2", "hostname") == "dev2"
        computer.call("host", "dev3")
        assert computer.machine("dev3").address != other
        for name in ("dev2", "dev3"):
            computer.call("rm", name)
        assert second.ssh("dev1", "hostname") == "dev1"
    finally:
        clear(second)
    assert second.remains() == [] and computer.remains() == []
