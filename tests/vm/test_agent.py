"""The agent on a host that is not ours: it is there, and the rest is as its owner left it."""

from __future__ import annotations

import json

from tests.vm.customer import NAME, Customer


def test_the_host_is_as_it_was(customer: Customer) -> None:
    assert customer.ssh("uname -r").startswith("6.1.")
    assert customer.ssh("hostname") == "customer"
    shown = customer.ssh("sudo cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub")
    assert (customer.home / "host_key.pub").read_text().startswith(shown)
    assert customer.ssh("systemctl is-system-running --wait") == "running"
    record = json.loads(customer.ok(customer.pymachine("inspect", NAME)))[0]
    assert record["driver_data"] == {"missing packages": "", "engine found": ""}
    assert not (customer.home / ".ssh/known_hosts").exists()


def test_its_limits_are_those_of_cgroup_v2(customer: Customer) -> None:
    info = json.loads(customer.run("info", "--format", "{{json .}}"))
    assert info["CgroupVersion"] == "2"
    wanted = ("MemoryLimit", "SwapLimit", "CpuCfsQuota", "CPUShares", "CPUSet", "PidsLimit")
    assert {key: info[key] for key in wanted} == dict.fromkeys(wanted, True)
    # As dockerd says it there: Debian's kernel has io.weight only with BFQ chosen for a disk.
    assert [line for line in info["Warnings"] or [] if "io.weight" not in line] == []


def test_it_is_neither_started_nor_stopped_by_us(customer: Customer) -> None:
    for verb in ("stop", "start"):
        said = customer.pymachine(verb, NAME)
        assert said.code == 1 and "its owner does" in said.err
    assert customer.ok(customer.pymachine("ls", "--format", "{{.State}}")) == "running"
