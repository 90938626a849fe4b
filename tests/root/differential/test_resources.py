"""Limits of `docker run`: what the container finds in its cgroup, what `inspect` shows, what is warned about."""

from __future__ import annotations

import os
import stat

import pytest

from tests.root.differential.conftest import Same
from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon

pytestmark = [pytest.mark.root, pytest.mark.peer]

OPTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # options -> files below /sys/fs/cgroup
    "memory": (
        ("-m", "64m"),
        ("memory/memory.limit_in_bytes", "memory/memory.memsw.limit_in_bytes", "memory/memory.oom_control"),
    ),
    "swap": (("-m", "64m", "--memory-swap", "80m"), ("memory/memory.memsw.limit_in_bytes",)),
    "no swap limit": (("-m", "64m", "--memory-swap", "-1"), ("memory/memory.memsw.limit_in_bytes",)),
    "reservation": (("--memory-reservation", "32m"), ("memory/memory.soft_limit_in_bytes",)),
    "swappiness": (("--memory-swappiness", "10"), ("memory/memory.swappiness",)),
    "oom killer": (("-m", "64m", "--oom-kill-disable"), ("memory/memory.oom_control",)),
    "oom killer without a limit": (("--oom-kill-disable",), ("memory/memory.oom_control",)),
    "shares": (("-c", "512"), ("cpu/cpu.shares",)),
    "cpus": (("--cpus", "0.5"), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")),
    "quota": (
        ("--cpu-quota", "20000", "--cpu-period", "50000"),
        ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"),
    ),
    "cpuset": (
        ("--cpuset-cpus", "0", "--cpuset-mems", "0"),
        ("cpuset/cpuset.cpus", "cpuset/cpuset.mems"),
    ),
    "pids": (("--pids-limit", "50"), ("pids/pids.max",)),
    "no pids limit": (("--pids-limit", "-1"), ("pids/pids.max",)),
}
WRONG: list[dict[str, object]] = [
    {"Memory": 8 << 20, "MemorySwappiness": 101},
    {"MemorySwappiness": -5},
    {"NanoCpus": 10**9, "CpuPeriod": 5000},
    {"NanoCpus": 10**9, "CpuQuota": 5000},
    {"NanoCpus": -1},
    {"CpusetCpus": "1-0"},
    {"CpusetCpus": "9000"},
    {"CpusetCpus": ","},
    {"CpusetMems": "7"},
    {"CpusetMems": "x"},
    {"CpuPercent": 5},
    {"IOMaximumIOps": 5},
    {"IOMaximumBandwidth": 5},
    {"CpuShares": -1, "Memory": 1},
    {"PidsLimit": -7},
    {"MemorySwap": 1 << 30},
    {"Memory": 8 << 20, "MemorySwap": -1},
    {"OomKillDisable": True},
    {"OomKillDisable": True, "Memory": 8 << 20},
    {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 2}},
    {"RestartPolicy": {"Name": "always", "MaximumRetryCount": -2}},
    {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": -2}},
    {"RestartPolicy": {"Name": "", "MaximumRetryCount": 2}},
    {"RestartPolicy": {"Name": "sometimes"}},
]


V1 = os.path.exists("/sys/fs/cgroup/memory/memory.limit_in_bytes")
only_v1 = pytest.mark.skipif(not V1, reason="limits are cgroup v2's here: see tests/root/resources")


@only_v1
@pytest.mark.parametrize("what", OPTIONS)
def test_limits_of_run(same: Same, what: str) -> None:
    options, files = OPTIONS[what]
    paths = [f"/sys/fs/cgroup/{file}" for file in files]
    same("run", "--name", "box", *options, "busybox", "tail", "-n", "+1", *paths)
    for field in (
        *("Memory", "MemorySwap", "MemoryReservation", "MemorySwappiness", "OomKillDisable", "CpuShares"),
        *("NanoCpus", "CpuQuota", "CpuPeriod", "CpusetCpus", "CpusetMems", "PidsLimit"),
    ):
        same("inspect", "-f", f"{{{{json .HostConfig.{field}}}}}", "box")


@only_v1
def test_limits_of_block_devices(both: tuple[Engine, Engine], same: Same) -> None:
    """A node of our own for a disk of the machine: the CLI takes /dev/ only, and dockerd's has none."""
    number = next(os.stat(f"/dev/{name}").st_rdev for name in os.listdir("/sys/class/block"))
    kinds = {"ReadBps": 1 << 20, "WriteBps": 2 << 20, "ReadIOps": 100, "WriteIOps": 200}
    files = [
        f"/sys/fs/cgroup/blkio/blkio.throttle.{file}_device"
        for file in ("read_bps", "write_bps", "read_iops")
    ]
    for engine in both:
        disk = f"{engine.share}/disk"
        os.mknod(disk, stat.S_IFBLK | 0o600, number)
        host = {f"BlkioDevice{kind}": [{"Path": disk, "Rate": rate}] for kind, rate in kinds.items()}
        body = {"Image": "busybox", "Cmd": ["tail", "-n", "+1", *files], "HostConfig": host}
        assert engine.api("POST", "/v1.44/containers/create?name=box", body).status == 201
        gone = {"BlkioDeviceReadBps": [{"Path": "/nowhere", "Rate": 1}]}
        assert (
            engine.api("POST", "/v1.44/containers/create?name=gone", body | {"HostConfig": gone}).status
            == 201
        )
    same("start", "-a", "box")
    same("start", "-a", "gone")
    for engine in both:
        os.unlink(f"{engine.share}/disk")


@only_v1
def test_weight_of_block_io(daemon: Daemon) -> None:
    """dockerd asks for a file that went away with the CFQ scheduler, warns and discards, where BFQ's could be used."""
    if not os.path.exists("/sys/fs/cgroup/blkio/blkio.bfq.io_serviced"):
        pytest.skip("this kernel has no BFQ scheduler")
    shown = daemon.engine.ok(
        "run", "--rm", "--blkio-weight", "300", "busybox", "cat", "/sys/fs/cgroup/blkio/blkio.bfq.weight"
    )
    assert shown == "300"
    refused = daemon.engine.docker("run", "--rm", "--blkio-weight", "5000", "busybox", "true")
    assert "Range of blkio weight is from 10 to 1000" in refused.err


def test_a_limit_that_the_kernel_refuses_ends_the_start(both: tuple[Engine, Engine]) -> None:
    """No real-time share is given to the parent of all containers."""
    for engine in both:
        failed = engine.docker("run", "--cpu-rt-runtime", "95000", "busybox", "true")
        assert failed.code in (125, 128)
        assert "cpu.rt_runtime_us" in failed.err
        assert "invalid argument" in failed.err


def test_wrong_limits(both: tuple[Engine, Engine]) -> None:
    differing = []
    for host in WRONG:
        body = {"Image": "busybox", "HostConfig": host}
        told = []
        for engine in both:
            answer = engine.api("POST", "/v1.44/containers/create", body)
            warnings = answer.body.get("Warnings") if isinstance(answer.body, dict) else None
            told.append((answer.status, answer.message, warnings))
        if told[0] != told[1]:
            differing.append(f"{host}\n    theirs {told[0]}\n    ours   {told[1]}")
    assert not differing, "\n".join(differing)
