"""Looking at and changing running containers on cgroup v2: freezer, changed limits, statistics, news of OOM kills."""

from __future__ import annotations

import json
from pathlib import Path

from tests.servers.engine import UnixConnection
from tests.vm.customer import Customer

MIB = 1 << 20
GROUP = "/sys/fs/cgroup"
STATE = "{{.State.Status}} {{.State.Running}} {{.State.Paused}}"


def files(customer: Customer, name: str, *wanted: str) -> list[str]:
    return customer.run("exec", name, "cat", *(f"{GROUP}/{file}" for file in wanted)).splitlines()


def test_pause(customer: Customer) -> None:
    """The kernel's own word for it, and a stop that reaches a container which stands still."""
    script = "trap 'exit 7' TERM; while :; do sleep 0.1; done"
    customer.run("run", "-d", "--name", "still", "busybox", "sh", "-c", script)
    customer.run("pause", "still")
    assert customer.inspect("still", STATE) == "paused true true"
    identity = customer.inspect("still", "{{.Id}}")
    frozen = f"cat $(find {GROUP} -type d -name {identity})/cgroup.freeze"
    assert customer.plain_ssh(frozen) == "1"
    assert "is paused, unpause the container before exec" in customer.docker("exec", "still", "true").err
    customer.run("unpause", "still")
    assert customer.plain_ssh(frozen) == "0"
    customer.run("pause", "still")
    customer.run("stop", "-t", "60", "still")
    assert customer.inspect("still", "{{.State.Status}} {{.State.ExitCode}}") == "exited 7"
    customer.run("rm", "still")


def test_update(customer: Customer) -> None:
    """memory.swap.max follows from both limits, cpu.max holds quota and period."""
    limits = ("-m", "64m", "--memory-swap", "128m")
    customer.run("run", "-d", "--name", "changed", *limits, "busybox", "sleep", "1000")
    wanted = ("memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "pids.max", "memory.low")
    assert files(customer, "changed", *wanted) == [
        *(str(64 * MIB), str(64 * MIB), "max 100000", "100", "max", "0")
    ]
    customer.run("update", "-m", "96m", "changed")
    customer.run("update", "--cpu-quota", "20000", "--pids-limit", "30", "-c", "512", "changed")
    customer.run("update", "--cpu-period", "50000", "--memory-reservation", "8m", "changed")
    expected = [str(96 * MIB), str(32 * MIB), "20000 50000", "20", "30", str(8 * MIB)]
    assert files(customer, "changed", *wanted) == expected
    refused = customer.docker("update", "-m", "200m", "changed")
    assert "already set memoryswap limit" in refused.err
    assert (
        "Requested CPUs are not available" in customer.docker("update", "--cpuset-cpus", "99", "changed").err
    )
    assert files(customer, "changed", *wanted) == expected
    customer.run("restart", "-t", "0", "changed")
    assert files(customer, "changed", *wanted) == expected
    customer.run("rm", "-f", "changed")


def test_what_v2_lacks_is_discarded(customer: Customer) -> None:
    options = ("--memory-swappiness", "10", "--oom-kill-disable", "--cpu-rt-runtime", "1000")
    done = customer.docker("run", "--rm", *options, "busybox", "true")
    assert done.code == 0
    for what in ("memory swappiness", "OomKillDisable", "CPU realtime scheduler"):
        assert f"Your kernel does not support {what}" in done.err


def test_news_of_a_killed_child(customer: Customer) -> None:
    """While the container runs on; and it is still known at its end."""
    eat = "tail /dev/zero; echo lives; while [ ! -e /end ]; do sleep 0.2; done; exit 0"
    customer.run(
        "run", "-d", "--name", "parent", "-m", "16m", "--memory-swap", "16m", "busybox", "sh", "-c", eat
    )
    form = "{{.State.OOMKilled}} {{.State.Running}}"
    customer.until(lambda: customer.inspect("parent", form) == "true true")
    # By the host's clock: the laptop's is another one.
    told = customer.run("events", "--since", "1h", "--until", "0s", "--filter", "container=parent")
    assert " oom " in told
    customer.run("exec", "parent", "touch", "/end")
    assert customer.run("wait", "parent") == "0"
    assert customer.inspect("parent", form) == "true false"
    customer.run("rm", "parent")


def test_shape_of_statistics(customer: Customer) -> None:
    customer.run("run", "-d", "--name", "shown", "--pids-limit", "9", "busybox", "sleep", "1000")
    connection = UnixConnection(Path(customer.docker_host.removeprefix("unix://")))
    try:
        connection.request("GET", "/v1.44/containers/shown/stats?stream=false")
        found = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    assert found["pids_stats"] == {"current": 1, "limit": 9}
    assert found["memory_stats"]["stats"].keys() >= {"anon", "file", "inactive_file", "slab"}
    assert 0 < found["memory_stats"]["usage"] < found["memory_stats"]["limit"]
    assert "max_usage" not in found["memory_stats"]
    assert "percpu_usage" not in found["cpu_stats"]["cpu_usage"]
    assert found["cpu_stats"]["online_cpus"] >= 1
    assert found["precpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert found["blkio_stats"]["io_serviced_recursive"] is None
    assert "eth0" in found["networks"]
    customer.run("rm", "-f", "shown")


def test_processes_of_execs_too(customer: Customer) -> None:
    customer.run("run", "-d", "--name", "seen", "busybox", "sleep", "1000")
    customer.run("exec", "-d", "seen", "sleep", "1001")
    lines = customer.run("top", "seen").splitlines()
    assert lines[0].split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert sorted(line.split()[-1] for line in lines[1:]) == ["1000", "1001"]
    customer.run("rm", "-f", "seen")


def test_a_parent_of_its_own(customer: Customer) -> None:
    """Beside the engine's own groups, with controllers handed down to it."""
    customer.run(
        "run", "-d", "--name", "child", "--cgroup-parent", "/pets", "-m", "32m", "busybox", "sleep", "1000"
    )
    assert files(customer, "child", "memory.max") == [str(32 * MIB)]
    identity = customer.inspect("child", "{{.Id}}")
    assert customer.plain_ssh(f"cat {GROUP}/pets/{identity}/pids.current") == "1"
    customer.run("rm", "-f", "child")
    customer.plain_ssh(f"sudo rmdir {GROUP}/pets 2>/dev/null || rmdir {GROUP}/pets")
