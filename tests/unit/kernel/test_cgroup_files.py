"""What is written for which limit, on v1 and v2."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostagent.engine.watch import statview
from hostagent.kernel.cgroup import Cgroup
from hostagent.kernel.cgroup_files import (
    Write,
    io_weight,
    swap_v2,
    weight_from_shares,
    writes_unified,
    writes_v1,
    writes_v2,
)
from hostagent.kernel.cgroup_limits import RefusedLimit
from hostagent.kernel.cgroup_mounts import Hierarchy, parse
from hostagent.kernel.cgroup_stats import NO_LIMIT, BlockIO, Cpu, block_io_v1, usage
from hostagent.kernel.cgroup_support import support
from hostagent.kernel.oom_notice import OomNotices
from hostagent.kernel.resources import DeviceRule, DeviceValue, HugepageLimit, Resources

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
    limits = Resources(
        memory_limit=64 * MIB,
        memory_swap=128 * MIB,
        memory_reservation=32 * MIB,
        cpu_shares=1024,
        cpu_quota=50_000,
        pids_limit=-1,
        read_bps=(DeviceValue(8, 0, 1000),),
        hugepages=(HugepageLimit("2MB", 4 * MIB),),
        unified=(("memory.high", "1000"),),
    )
    assert lines(writes_v2(limits) + writes_unified(limits)) == [
        f"memory.max {64 * MIB}",
        f"memory.low {32 * MIB}",
        f"memory.swap.max {64 * MIB}",
        "cpu.weight 39",
        "cpu.max 50000 100000",
        "pids.max max",
        f"hugetlb.2MB.max {4 * MIB}",
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


@pytest.mark.parametrize(("blkio", "weight"), [(10, 1), (100, 910), (500, 4950), (1000, 10_000)])
def test_weight_of_block_io(blkio: int, weight: int) -> None:
    assert io_weight(blkio) == weight


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


@pytest.fixture
def v2_host(tmp_path: Path) -> Cgroup:
    """A directory that looks like a v2 mount with controllers, which this machine need not have."""
    for folder in ("", "engine", "engine/c"):
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        (place / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids\n")
        (place / "cgroup.subtree_control").write_text("memory\n")
        for file in ("memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "pids.max", "cgroup.kill"):
            (place / file).touch()
        # The root may have processes and yet hand on controllers; it is the one without a type.
        (place / "cgroup.procs").write_text("" if folder == "engine" else "0\n")
        if folder:
            (place / "cgroup.type").write_text("domain\n")
    (tmp_path / "engine/c/memory.events").write_text("low 0\nhigh 0\noom 2\noom_kill 3\n")
    return Cgroup("/engine/c", (Hierarchy(str(tmp_path), unified=True),))


def test_v2_limits_go_to_their_files(v2_host: Cgroup, tmp_path: Path) -> None:
    resources = Resources(
        memory_limit=MIB, memory_swap=MIB, cpu_quota=50_000, cpu_period=100_000, pids_limit=5
    )
    assert v2_host.create(resources) == []
    leaf = tmp_path / "engine/c"
    found = {
        file: (leaf / file).read_text() for file in ("memory.max", "memory.swap.max", "cpu.max", "pids.max")
    }
    assert found == {
        "memory.max": str(MIB),
        "memory.swap.max": "0",
        "cpu.max": "50000 100000",
        "pids.max": "5",
    }
    assert v2_host.oom_kills() == 3


def test_v2_weight_of_block_io_where_there_is_no_bfq(v2_host: Cgroup, tmp_path: Path) -> None:
    (tmp_path / "engine/c/io.weight").touch()
    assert v2_host.set(Resources(blkio_weight=100)) == []
    assert (tmp_path / "engine/c/io.weight").read_text() == "910"
    (tmp_path / "engine/c/io.bfq.weight").touch()
    assert v2_host.set(Resources(blkio_weight=100)) == []
    assert (tmp_path / "engine/c/io.bfq.weight").read_text() == "100"


def test_what_v2_can_do_is_asked_from_the_group(v2_host: Cgroup, tmp_path: Path) -> None:
    (tmp_path / "engine/c/cpuset.cpus.effective").write_text("0-3\n")
    found = support(v2_host)
    assert (found.unified, found.memory, found.memory_swap, found.pids, found.cpus) == (
        True,
        True,
        True,
        True,
        "0-3",
    )
    assert not (found.memory_swappiness or found.oom_kill_disable or found.cpu_realtime or found.blkio_weight)


def test_v2_controllers_are_handed_down_to_the_parent_of_the_group(v2_host: Cgroup, tmp_path: Path) -> None:
    v2_host.create()
    for folder in ("", "engine"):
        # One write each, in order of name; a plain file keeps the last at its start.
        assert (tmp_path / folder / "cgroup.subtree_control").read_text().startswith("+pids")
    assert (tmp_path / "engine/c/cgroup.subtree_control").read_text() == "memory\n"


def test_a_v2_group_with_processes_hands_nothing_on(v2_host: Cgroup, tmp_path: Path) -> None:
    """It would make its children threaded, and no process could be moved into them."""
    (tmp_path / "engine/cgroup.procs").write_text("1\n")
    v2_host.create()
    assert (tmp_path / "engine/cgroup.subtree_control").read_text() == "memory\n"


def test_processes_of_other_namespaces_are_not_ours_to_kill(v2_host: Cgroup) -> None:
    """The kernel shows them as 0, which kill(2) takes for the caller's own process group."""
    assert v2_host.pids() == set()
    v2_host.kill()


def test_v2_tells_of_the_group_that_ran_out_of_memory(v2_host: Cgroup, tmp_path: Path) -> None:
    notices = OomNotices()
    try:
        assert notices.watch("c", v2_host)
        assert not notices.watch("gone", Cgroup("/engine/gone", v2_host.trees))
        assert notices.heard() == set()
        (tmp_path / "engine/c/memory.events").write_text("oom_kill 4\n")
        assert notices.heard() == {"c"}
        assert notices.heard() == set()
        notices.forget("c")
        (tmp_path / "engine/c/memory.events").write_text("oom_kill 5\n")
        assert notices.heard() == set()
    finally:
        notices.close()


def test_freezing_on_v2(v2_host: Cgroup, tmp_path: Path) -> None:
    leaf = tmp_path / "engine/c"
    (leaf / "cgroup.freeze").write_text("0")
    (leaf / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    assert not v2_host.frozen()
    assert v2_host.freeze()
    assert v2_host.frozen()
    assert not v2_host.stands_still(), "not everything has stopped yet"
    (leaf / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    assert v2_host.stands_still()
    assert v2_host.thaw()
    assert not v2_host.frozen()


def test_a_refused_change_is_taken_back(v2_host: Cgroup, tmp_path: Path) -> None:
    """Whatever was written before the file that says no."""
    leaf = tmp_path / "engine/c"
    (leaf / "memory.max").write_text("1000")
    (leaf / "pids.max").unlink()
    (leaf / "pids.max").mkdir()
    with pytest.raises(RefusedLimit, match=r"pids\.max"):
        v2_host.change(Resources(memory_limit=MIB, pids_limit=5))
    assert (leaf / "memory.max").read_text().startswith("1000")


V2_USAGE = {
    "memory.current": "4096\n",
    "memory.max": "max\n",
    "memory.stat": "anon 10\nfile 20\ninactive_file 5\n",
    "pids.current": "3\n",
    "pids.max": "20\n",
    "cpu.stat": "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 7\nnr_throttled 1\nthrottled_usec 4\n",
    "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n253:0 \n",
}


def test_usage_of_v2(v2_host: Cgroup, tmp_path: Path) -> None:
    for name, text in V2_USAGE.items():
        (tmp_path / "engine/c" / name).write_text(text)
    found = usage(v2_host)
    assert found.cpu == Cpu(
        total=5000, kernel=2000, user=3000, periods=7, throttled_periods=1, throttled=4000
    )
    assert found.memory is not None
    assert (found.memory.usage, found.memory.limit, found.memory.failures) == (4096, NO_LIMIT, 2)
    assert found.pids == (3, 20)
    assert found.io_bytes == (BlockIO(8, 0, "read", 10), BlockIO(8, 0, "write", 20))
    shown = statview.stats(found, (100, 2), {}, 1 << 30, "now")
    assert shown.memory_stats.limit == 1 << 30
    assert shown.memory_stats.stats["inactive_file"] == 5
    assert set(shown.memory_stats.stats) == set(statview.MEMORY_V2)
    assert shown.cpu_stats.cpu_usage.percpu_usage == []
    assert shown.blkio_stats.io_serviced_recursive is None
    entries = shown.blkio_stats.io_service_bytes_recursive
    assert entries is not None
    assert [(one.op, one.value) for one in entries] == [("read", 10), ("write", 20)]


def test_block_io_of_v1_without_its_sum() -> None:
    assert block_io_v1("8:0 Read 1\n8:0 Total 1\nTotal 1\n") == (
        BlockIO(8, 0, "Read", 1),
        BlockIO(8, 0, "Total", 1),
    )
