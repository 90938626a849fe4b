"""Limits: what a poor host discards, what an update makes of a configuration, lists of CPUs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hostagent.engine.limits import cpulist, resources
from hostagent.engine.limits.limits import Limits
from hostagent.engine.limits.updates import change
from hostagent.errors import Conflict, EngineError, Invalid
from hostagent.kernel.cgroup_support import Support
from hostagent.wire import HostConfig, RestartPolicy, ThrottleDevice, WeightDevice

MIB = 1 << 20
THROTTLE = [ThrottleDevice(path="/dev/null", rate=1)]
LIMITED = {
    "memory": 8 * MIB,
    "memory_swap": -1,
    "memory_reservation": 7 * MIB,
    "memory_swappiness": 5,
    "oom_kill_disable": True,
    "pids_limit": 5,
    "cpu_shares": 100,
    "cpu_period": 5000,
    "cpu_quota": 5000,
    "cpu_realtime_runtime": 1000,
    "cpuset_cpus": "0",
    "blkio_weight": 300,
    "blkio_weight_device": [WeightDevice(path="/dev/null", weight=300)],
    "blkio_device_read_bps": THROTTLE,
    "blkio_device_write_bps": THROTTLE,
    "blkio_device_read_iops": THROTTLE,
    "blkio_device_write_iops": THROTTLE,
}


@pytest.mark.parametrize("field", LIMITED)
def test_a_host_that_can_nothing_discards_and_says_so(field: str) -> None:
    host = replace(HostConfig(), **{field: LIMITED[field]})
    checked = Limits(Support(unified=True)).check(host)
    if field == "memory_swap":  # -1 is what happens anyway
        assert checked.warnings == ()
        return
    assert len(checked.warnings) == 1
    assert "iscarded" in checked.warnings[0]
    assert resources.limits(replace(checked.host, memory_swap=0)) == {}


def test_memory_without_swap_accounting() -> None:
    host = replace(HostConfig(), memory=8 * MIB, memory_swap=9 * MIB)
    checked = Limits(Support(unified=True, memory=True)).check(host)
    assert (checked.host.memory, checked.host.memory_swap) == (8 * MIB, -1)
    assert checked.warnings[0].endswith("Memory limited without swap.")


def test_cpus_need_a_scheduler_that_can() -> None:
    with pytest.raises(Invalid, match="NanoCPUs can not be set"):
        Limits(Support(unified=True)).check(replace(HostConfig(), nano_cpus=10**9))


def test_shares_have_bounds_on_v1_only() -> None:
    for shares, said in ((1, "minimum"), (262_145, "maximum")):
        host = replace(HostConfig(), cpu_shares=shares)
        assert Limits(Support(unified=True, cpu_shares=True)).check(host).warnings == ()
        with pytest.raises(Invalid, match=f"the {said} allowed cpu-shares"):
            Limits(Support(unified=False, cpu_shares=True)).check(host)


def test_a_device_that_is_gone() -> None:
    with pytest.raises(EngineError, match="stat /nowhere: no such file or directory"):
        resources.limits(
            replace(HostConfig(), blkio_device_read_bps=[ThrottleDevice(path="/nowhere", rate=1)])
        )


def test_an_update_tells_the_kernel_what_belongs_together() -> None:
    """On v2 memory.swap.max follows from both, and cpu.max holds two."""
    before = replace(HostConfig(), memory=8 * MIB, memory_swap=16 * MIB, cpu_period=50_000, cpu_shares=7)
    new = change(before, replace(HostConfig(), memory=10 * MIB, cpu_quota=10_000))
    assert new.host == replace(before, memory=10 * MIB, cpu_quota=10_000)
    assert new.written == replace(
        HostConfig(), memory=10 * MIB, memory_swap=16 * MIB, cpu_period=50_000, cpu_quota=10_000
    )


def test_an_update_of_the_policy_is_not_the_kernels_business() -> None:
    policy = RestartPolicy(name="always")
    new = change(HostConfig(), replace(HostConfig(), restart_policy=policy))
    assert (new.host.restart_policy, new.written) == (policy, HostConfig())


def test_swap_without_limit_stands_in_nobodys_way_but_memorys() -> None:
    before = replace(HostConfig(), memory=8 * MIB, memory_swap=-1)
    assert change(before, replace(HostConfig(), cpu_shares=5)).host.cpu_shares == 5
    both = change(before, replace(HostConfig(), memory=9 * MIB, memory_swap=-1))
    assert (both.written.memory, both.written.memory_swap) == (9 * MIB, -1)
    with pytest.raises(Conflict):
        change(before, replace(HostConfig(), memory=9 * MIB))


@pytest.mark.parametrize(
    ("before", "wanted", "said"),
    [
        ({"cpu_period": 5000}, {"nano_cpus": 1}, "Nano CPUs cannot be updated as CPU Period"),
        ({"nano_cpus": 1}, {"cpu_quota": 5000}, "CPU Quota cannot be updated as NanoCPUs"),
        ({"memory": 8 * MIB, "memory_swap": 8 * MIB}, {"memory": 9 * MIB}, "already set memoryswap"),
        ({"auto_remove": True}, {"restart_policy": RestartPolicy(name="always")}, "AutoRemove is enabled"),
    ],
)
def test_updates_that_contradict(before: dict[str, object], wanted: dict[str, object], said: str) -> None:
    with pytest.raises(Conflict, match=said):
        change(replace(HostConfig(), **before), replace(HostConfig(), **wanted))


@given(st.sets(st.integers(0, cpulist.LARGEST)))
def test_a_list_of_cpus_reads_as_what_it_was_written_from(numbers: set[int]) -> None:
    assert cpulist.parse(",".join(str(number) for number in numbers)) == numbers


@given(st.text("0123456789,- x", max_size=12))
def test_whatever_is_no_list_is_a_value_error(text: str) -> None:
    try:
        assert all(0 <= number <= cpulist.LARGEST for number in cpulist.parse(text))
    except ValueError as error:
        assert str(error).startswith(("invalid format", "value of out range"))
