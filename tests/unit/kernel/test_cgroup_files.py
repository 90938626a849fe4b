"""What is written for which limit, on v1 and v2."""

from __future__ import annotations

import pytest

from hostagent.kernel.cgroup import Cgroup
from hostagent.kernel.cgroup_files import Write, swap_v2, weight_from_shares, writes_v1, writes_v2
from hostagent.kernel.cgroup_mounts import Hierarchy, parse
from hostagent.kernel.resources import DeviceRule, DeviceValue, Resources

MIB = 1 << 20


def lines(writes: tuple[Write, ...]) -> list[str]:
    return [f"{write.file} {write.value}" for write in writes]


def test_common_limits_on_v1() -> None:
    found = lines(
        writes_v1(
            Resources(
                memory_limit=64 * MIB,
                memory_swap=128 * MIB,
                memory_reservation=32 * MIB,
                cpu_shares=512,
                cpu_quota=50_000,
                cpu_period=100_000,
                pids_limit=100,
                cpuset_cpus="0-1",
            )
        )
    )
    assert found == [
        f"memory.limit_in_bytes {64 * MIB}",
        f"memory.soft_limit_in_bytes {32 * MIB}",
        f"memory.memsw.limit_in_bytes {128 * MIB}",
        "cpu.shares 512",
        "cpu.cfs_period_us 100000",
        "cpu.cfs_quota_us 50000",
        "cpuset.cpus 0-1",
        "pids.max 100",
    ]


def test_common_limits_on_v2() -> None:
    found = lines(
        writes_v2(
            Resources(
                memory_limit=64 * MIB,
                memory_swap=128 * MIB,
                memory_reservation=32 * MIB,
                cpu_shares=1024,
                cpu_quota=50_000,
                pids_limit=-1,
                read_bps=(DeviceValue(8, 0, 1000),),
                unified=(("memory.high", "1000"),),
            )
        )
    )
    assert found == [
        f"memory.max {64 * MIB}",
        f"memory.low {32 * MIB}",
        f"memory.swap.max {64 * MIB}",
        "cpu.weight 39",
        "cpu.max 50000 100000",
        "pids.max max",
        "io.max 8:0 rbps=1000",
        "memory.high 1000",
    ]


def test_nothing_asked_nothing_written() -> None:
    assert writes_v1(Resources()) == writes_v2(Resources()) == ()


def test_devices_on_v1() -> None:
    rules = (DeviceRule(False), DeviceRule(True, "c", 1, None, "rw"), DeviceRule(True, "b", None, 3, "m"))
    assert lines(writes_v1(Resources(devices=rules))) == [
        "devices.deny a",
        "devices.allow c 1:* rw",
        "devices.allow b *:3 m",
    ]


@pytest.mark.parametrize(
    ("shares", "weight"), [(2, 1), (1024, 39), (262_144, 10_000), (1, 1), (10**9, 10_000)]
)
def test_weight(shares: int, weight: int) -> None:
    assert weight_from_shares(shares) == weight


@pytest.mark.parametrize(
    ("limit", "swap", "expected"),
    [(10, 30, "20"), (10, 10, "0"), (10, -1, "max"), (None, 30, "30"), (10, None, None), (10, 0, None)],
)
def test_swap(limit: int | None, swap: int | None, expected: str | None) -> None:
    assert swap_v2(limit, swap) == expected


MOUNTINFO = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory\\040here rw,relatime shared:7 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup none rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
42 31 0:38 / /other/unified rw,relatime - cgroup2 cgroup2 rw
"""


def test_hierarchies_are_found_wherever_they_are() -> None:
    assert parse(MOUNTINFO) == (
        Hierarchy("/sys/fs/cgroup/unified", unified=True),
        Hierarchy("/sys/fs/cgroup/cpu,cpuacct", unified=False, controllers=("cpu", "cpuacct")),
        Hierarchy("/sys/fs/cgroup/memory here", unified=False, controllers=("memory",)),
        Hierarchy("/sys/fs/cgroup/systemd", unified=False, controllers=("name=systemd",)),
    )


@pytest.mark.parametrize("path", ["", "/", "/a/../b", "a//b", "/./a"])
def test_a_group_is_below_the_root(path: str) -> None:
    with pytest.raises(ValueError, match="below the root"):
        Cgroup(path, ())


def test_a_host_without_cgroups_is_a_warning() -> None:
    group = Cgroup("/x", ())
    warnings = group.create(Resources(memory_limit=MIB))
    assert warnings[0].startswith("no cgroup hierarchy can be written")
    assert "memory.max not set: this host has no memory controller" in warnings
    group.add_self()
    group.kill()
    group.delete()
    assert group.pids() == set()
    assert group.oom_kills() == 0
