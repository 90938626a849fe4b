"""Two machines at once, two homes at once, and the way out through NAT."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.root.local_driver.conftest import Laptop
from tests.servers.namespace import Namespace

pytestmark = pytest.mark.root


def test_two_at_once_do_not_disturb_each_other(computer: Laptop) -> None:
    both = [computer.process("host", name) for name in ("dev1", "dev2")]
    for process in both:
        stdout, stderr = process.communicate(timeout=180)
        assert process.returncode == 0, stdout + stderr
    addresses = {computer.machine(name).address for name in ("dev1", "dev2")}
    assert len(addresses) == 2
    assert len(computer.links()) == 3  # the bridge and its two ports
    for name in ("dev1", "dev2"):
        assert computer.ssh(name, "hostname") == name
    other = computer.machine("dev2").address
    assert "1 received" in computer.ssh("dev1", f"ping -c 1 -W 3 {other}")

    computer.call("rm", "dev1")
    assert computer.ssh("dev2", "hostname") == "dev2"
    assert len(computer.links()) == 2
    computer.call("host", "dev3")
    assert computer.machine("dev3").address != other
    for name in ("dev2", "dev3"):
        computer.call("rm", name)
    assert computer.remains() == []


def test_two_homes_in_one_network_namespace(computer: Laptop, tmp_path: Path) -> None:
    second = Laptop(computer.namespace, tmp_path / "second")
    computer.call("host", "dev1")
    second.call("host", "dev1")
    try:
        subnets = {laptop.machine("dev1").driver_data["subnet"] for laptop in (computer, second)}
        assert subnets == {"10.89.0.0/24", "10.89.1.0/24"}
        computer.call("rm", "dev1")
        assert second.ssh("dev1", "hostname") == "dev1"
    finally:
        second.call("rm", "dev1")
    assert second.remains() == [] and computer.remains() == []


def test_the_host_gets_out_through_nat(computer: Laptop) -> None:
    with Namespace() as outside:
        computer.namespace.run(
            ["ip", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", str(outside.pid)]
        )
        computer.namespace.run(["sh", "-c", "ip addr add 198.51.100.1/24 dev up0; ip link set up0 up"])
        outside.run(["sh", "-c", "ip addr add 198.51.100.2/24 dev eth0; ip link set eth0 up"])
        assert computer.namespace.run(["cat", "/proc/sys/net/ipv4/ip_forward"]).stdout == "0\n"
        computer.call("host", "dev1")
        # The other side has no route back to 10.89.0.0/24: an answer means that the address was translated.
        assert "1 received" in computer.ssh("dev1", "ping -c 1 -W 3 198.51.100.2")
        computer.call("rm", "dev1")
        assert computer.namespace.run(["cat", "/proc/sys/net/ipv4/ip_forward"]).stdout == "0\n"
        assert computer.links() == {"up0"}
