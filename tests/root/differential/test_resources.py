"""Limits of `docker run`: what the container finds in its cgroup, what `inspect` shows, what is warned about."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hostagent.kernel import libc
from hostagent.kernel.capabilities import CAP_SYS_RESOURCE
from tests.leaks import TAG
from tests.root.differential.conftest import Same
from tests.servers.cgroups import children, remove_cgroup
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
SHOWN = " ".join(
    f"{{{{json .HostConfig.{field}}}}}"
    for field in (
        *("Memory", "MemorySwap", "MemoryReservation", "MemorySwappiness", "OomKillDisable", "CpuShares"),
        *("NanoCpus", "CpuQuota", "CpuPeriod", "CpusetCpus", "CpusetMems", "PidsLimit"),
    )
)
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
only_v1 = pytest.mark.skipif(not V1, reason="limits are cgroup v2's here: tests/vm tries those")


@only_v1
@pytest.mark.parametrize("what", OPTIONS)
def test_limits_of_run(same: Same, what: str) -> None:
    options, files = OPTIONS[what]
    paths = [f"/sys/fs/cgroup/{file}" for file in files]
    same("run", "--name", "box", *options, "busybox", "tail", "-n", "+1", *paths)
    same("inspect", "-f", SHOWN, "box")


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


def test_a_parent_of_its_own(same: Same) -> None:
    parent = f"/{TAG}-parent/inner"
    try:
        same(
            "run",
            "--name",
            "box",
            "--cgroupns",
            "host",
            "--cgroup-parent",
            parent,
            "busybox",
            "cat",
            "/proc/self/cgroup",
        )
        same("start", "-a", "box")
        same("inspect", "-f", "{{.HostConfig.CgroupParent}}", "box")
        assert not list(children(parent))
    finally:
        remove_cgroup(f"/{TAG}-parent")


def test_a_parent_that_cannot_be(daemon: Daemon) -> None:
    """A slice is systemd's to make; dockerd with its cgroupfs driver takes it for a path."""
    for parent, said in (
        ("web.slice", "is a systemd slice"),
        ("/a/../b", "must name a cgroup below the root"),
    ):
        failed = daemon.engine.docker("run", "--cgroup-parent", parent, "busybox", "true")
        assert (failed.code, said in failed.err) == (125, True)
    assert daemon.engine.ok("ps", "-aq") == ""


def test_a_parent_of_its_own_and_a_daemon_that_is_killed(daemon: Daemon) -> None:
    """All that is asked of the cgroup afterwards finds it there."""
    engine, parent = daemon.engine, f"/{TAG}-parent"
    try:
        engine.ok("run", "-d", "--name", "box", "--cgroup-parent", parent, "busybox", "sleep", "600")
        engine.ok("pause", "box")
        daemon.kill()
        daemon.start()
        assert engine.inspect("box", "{{.State.Status}}") == "paused"
        engine.ok("unpause", "box")
        assert len(engine.ok("top", "box", "-o", "pid").split()) == 2
        engine.ok("update", "-c", "100", "box")
        engine.ok("rm", "-f", "box")
        assert not list(children(parent))
    finally:
        remove_cgroup(parent)


def test_what_is_clamped_is_told(daemon: Daemon) -> None:
    """dockerd fails where it lacks CAP_SYS_RESOURCE."""
    if libc.capget()[0] >> CAP_SYS_RESOURCE & 1:
        pytest.skip("here an engine may do all that a container can ask for")
    done = daemon.engine.docker(
        *("run", "--rm", "--oom-score-adj", "-500", "--ulimit", "nofile=9000000:9000000"),
        *("busybox", "cat", "/proc/self/oom_score_adj"),
    )
    assert done.code == 0
    assert "WARNING: oom_score_adj -500 left at" in done.err
    assert "WARNING: RLIMIT_NOFILE of 9000000 lowered to" in done.err


def test_kernel_memory_is_discarded(daemon: Daemon, old_docker_cli: Path) -> None:
    """dockerd takes it for an old client, and its runtime ignores it in silence."""
    done = daemon.engine.docker(
        "run", "--name", "box", "--kernel-memory", "50m", "busybox", "true", cli=old_docker_cli
    )
    assert done.code == 0
    assert "WARNING: Your kernel does not support kernel memory limit capabilities" in done.err


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
