"""`docker update`: what it changes at once, what it keeps for the next start, and what it refuses."""

from __future__ import annotations

import pytest

from tests.root.differential.conftest import Same
from tests.root.differential.test_resources import only_v1
from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon

pytestmark = [pytest.mark.root, pytest.mark.peer]

FIELDS = "{{json .HostConfig.Memory}} {{json .HostConfig.MemorySwap}} {{json .HostConfig.CpuShares}} " + (
    "{{json .HostConfig.NanoCpus}} {{json .HostConfig.CpuQuota}} {{json .HostConfig.PidsLimit}} "
    "{{json .HostConfig.CpusetCpus}} {{json .HostConfig.RestartPolicy}} {{json .HostConfig.MemoryReservation}}"
)
FILES = tuple(
    f"/sys/fs/cgroup/{file}"
    for file in (
        "memory/memory.limit_in_bytes",
        "memory/memory.memsw.limit_in_bytes",
        "memory/memory.soft_limit_in_bytes",
        "cpu/cpu.shares",
        "cpu/cpu.cfs_quota_us",
        "cpuset/cpuset.cpus",
        "pids/pids.max",
    )
)
STEPS = (
    ("-m", "64m", "--memory-swap", "64m"),
    ("-m", "32m"),
    ("-m", "100m"),  # above memory+swap
    ("-m", "128m", "--memory-swap", "256m"),
    ("--memory-reservation", "16m"),
    ("-c", "300"),
    ("--cpus", "0.5"),
    ("--cpu-quota", "10000"),  # --cpus is there already
    ("--cpuset-cpus", "0"),
    ("--pids-limit", "30"),
    ("--pids-limit", "-1"),
    ("--cpuset-cpus", "77"),
    ("-m", "1m"),
    ("--restart", "on-failure:3"),
    ("--restart", "odd"),
    ("--restart", "no"),
)


@only_v1
def test_steps_of_a_running_container(same: Same) -> None:
    same("run", "-d", "--name", "box", "busybox", "sleep", "600")
    for step in STEPS:
        same("update", *step, "box")
        same("inspect", "-f", FIELDS, "box")
    same("exec", "box", "tail", "-n", "+1", *FILES)
    same("restart", "-t", "0", "box")
    same("exec", "box", "tail", "-n", "+1", *FILES)


@only_v1
def test_before_the_first_start_and_several_at_once(same: Same) -> None:
    same("create", "--name", "one", "busybox", "cat", *FILES)
    same("create", "--name", "two", "busybox", "cat", *FILES)
    same("update", "-m", "20m", "--memory-swap", "20m", "-c", "512", "one", "ghost", "two")
    same("update", "--memory-swap", "-1", "one")
    same("update", "--pids-limit", "7", "one")
    same("inspect", "-f", FIELDS, "one")
    same("start", "-a", "one")
    same("start", "-a", "two")


def test_refusals(both: tuple[Engine, Engine], same: Same) -> None:
    same("run", "-d", "--rm", "--name", "box", "busybox", "sleep", "600")
    same("update", "--restart", "always", "box")
    same("update", "--cpus", "1000", "box")
    same("inspect", "-f", FIELDS, "box")
    for body in ({}, {"Memory": "much"}, {"CpuPeriod": 7}, {"RestartPolicy": {"Name": "no"}}):
        answers = [engine.api("POST", "/v1.44/containers/box/update", body) for engine in both]
        assert answers[0].status == answers[1].status, body
    told = []
    for engine in both:
        before = engine.ok("info", "--format", "{{.SystemTime}}")
        engine.ok("update", "-c", "100", "box")
        after = engine.ok("info", "--format", "{{.SystemTime}}")
        told.append(
            engine.ok(
                "events",
                "--since",
                before,
                "--until",
                after,
                "--format",
                "{{.Action}} {{.Actor.Attributes.name}}",
            )
        )
    assert told[0] == told[1] == "update box"


@only_v1
def test_a_refused_limit_changes_nothing(daemon: Daemon) -> None:
    """Memory below what is in use; the limits that were written before it are taken back."""
    engine = daemon.engine
    eater = "dd if=/dev/zero of=/dev/shm/full bs=1M count=20 2>/dev/null; echo full; sleep 600"
    engine.ok("run", "-d", "--name", "box", "-m", "64m", "busybox", "sh", "-c", eater)
    engine.wait_for_log("box", "full")
    before = engine.ok("exec", "box", "tail", "-n", "+1", *FILES), engine.inspect("box", FIELDS)
    refused = engine.docker("update", "-m", "8m", "--memory-swap", "8m", "-c", "77", "box")
    assert refused.code == 1
    assert "Cannot update container" in refused.err
    assert "memory.limit_in_bytes: device or resource busy" in refused.err
    assert (engine.ok("exec", "box", "tail", "-n", "+1", *FILES), engine.inspect("box", FIELDS)) == before


@only_v1
def test_swap_without_limit(daemon: Daemon) -> None:
    """dockerd writes it down and does not tell the kernel."""
    daemon.engine.ok("run", "-d", "--name", "box", "-m", "64m", "busybox", "sleep", "600")
    daemon.engine.ok("update", "--memory-swap", "-1", "box")
    assert daemon.engine.ok("exec", "box", "cat", FILES[1]) == str((1 << 63) - 4096)


def test_an_update_outlives_the_daemon(daemon: Daemon) -> None:
    engine = daemon.engine
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "600")
    engine.ok("update", "-c", "321", "--restart", "on-failure:2", "box")
    daemon.kill()
    daemon.start()
    assert (
        engine.inspect("box", "{{.HostConfig.CpuShares}} {{.HostConfig.RestartPolicy.Name}}")
        == "321 on-failure"
    )


def test_what_cannot_be_changed_is_told(daemon: Daemon) -> None:
    daemon.engine.ok("create", "--name", "box", "busybox")
    answer = daemon.engine.api("POST", "/v1.44/containers/box/update", {"CgroupParent": "/x", "CpuShares": 5})
    assert answer.body == {"Warnings": ["CgroupParent cannot be changed by an update. Discarded."]}
