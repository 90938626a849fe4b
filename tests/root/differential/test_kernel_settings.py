"""Resource limits of processes, sysctls, the size of a console, and what a container's host name is."""

from __future__ import annotations

import pytest

from tests.root.differential.conftest import Same, long_after
from tests.servers.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]

LIMITS = (
    *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice"),
    *("nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"),
)


def test_every_limit(same: Same) -> None:
    """Lowered, since the host of these tests may not raise any."""
    small = {"data": 1 << 28, "stack": 1 << 20, "nofile": 128, "fsize": 1 << 20, "cpu": 60, "nproc": 4000}
    options = [f"--ulimit={name}={small.get(name, 0)}:{small.get(name, 0)}" for name in LIMITS]
    same("run", "--rm", *options, "busybox", "cat", "/proc/self/limits")
    same("run", "-d", "--name", "box", "--ulimit", "nofile=100:200", "busybox", "sleep", "60")
    same("exec", "box", "sh", "-c", "ulimit -n; ulimit -Hn")
    same("run", "--rm", "--ulimit", "odd=1", "busybox", "true")
    same("run", "--rm", "--ulimit", "nofile=5:3", "busybox", "true")


def test_a_limit_that_nobody_knows(both: tuple[Engine, Engine]) -> None:
    told = []
    for engine in both:
        host = {"Ulimits": [{"Name": "odd", "Soft": 1, "Hard": 1}]}
        made = engine.api(
            "POST", "/v1.44/containers/create?name=box", {"Image": "busybox", "HostConfig": host}
        )
        started = engine.api("POST", "/v1.44/containers/box/start")
        told.append((made.status, started.status, started.message))
    assert told[0] == told[1]


def test_sysctls(same: Same) -> None:
    wanted = {
        "net.ipv4.ip_forward": "0",
        "net/ipv4/conf/all/rp_filter": "2",
        "kernel.shmmax": "65536",
        "kernel.shm_rmid_forced": "1",
        "kernel.msgmax": "4096",
        "fs.mqueue.msg_max": "11",
    }
    options = [f"--sysctl={key}={value}" for key, value in wanted.items()]
    paths = [f"/proc/sys/{key if '/' in key else key.replace('.', '/')}" for key in wanted]
    same("run", "--rm", *options, "busybox", "cat", *paths)
    same("run", "--rm", "busybox", "cat", "/proc/sys/net/ipv4/ping_group_range")
    same("run", "--rm", "busybox", "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start")


@pytest.mark.parametrize(
    "host",
    [
        {"NetworkMode": "host", "Sysctls": {"net.ipv4.ip_forward": "1"}},
        {"IpcMode": "host", "Sysctls": {"kernel.shmmax": "65536"}},
        {"IpcMode": "host", "Sysctls": {"fs.mqueue.msg_max": "11"}},
        {"Sysctls": {"kernel.panic": "1"}},
        {"Sysctls": {"vm.swappiness": "1"}},
        {"Sysctls": {"kernel.hostname": "x"}},
        {"Sysctls": {"kernel.domainname": "x"}},
        {"UTSMode": "host", "Sysctls": {"kernel.domainname": "x"}},
        {"Sysctls": {"net.no.such": "1"}},
        {"Sysctls": {"net.ipv4.ip_forward": "odd"}},
    ],
)
def test_sysctls_of_the_host(both: tuple[Engine, Engine], host: dict[str, object]) -> None:
    told = []
    for engine in both:
        body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": host}
        made = engine.api("POST", "/v1.44/containers/create?name=box", body)
        started = engine.api("POST", "/v1.44/containers/box/start")
        told.append((made.status, started.status, started.message))
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "options",
    long_after(
        3,
        [
            ["--hostname", "box", "--domainname", "example.org"],
            ["--uts", "host", "--domainname", "example.org"],
            ["--network", "none"],
            ["--hostname", "box.example.org"],
            ["--network", "none", "--hostname", "box"],
            ["--network", "host", "--hostname", "box"],
        ],
    ),
)
def test_host_names(same: Same, options: list[str]) -> None:
    script = "hostname; cat /etc/hostname; cat /proc/sys/kernel/domainname; echo $HOSTNAME"
    same("run", "--rm", *options, "busybox", "sh", "-c", script)


def test_no_network_at_all(both: tuple[Engine, Engine]) -> None:
    told = []
    for engine in both:
        script = "ls /sys/class/net; hostname | wc -c"
        body = {"Image": "busybox", "Cmd": ["sh", "-c", script], "NetworkDisabled": True}
        assert engine.api("POST", "/v1.44/containers/create?name=box", body).status == 201
        told.append(engine.ok("start", "-a", "box"))
    assert told[0] == told[1]


def test_the_size_of_a_console(both: tuple[Engine, Engine]) -> None:
    told = []
    for engine in both:
        body = {
            "Image": "busybox",
            "Tty": True,
            "Cmd": ["stty", "size"],
            "HostConfig": {"ConsoleSize": [33, 99]},
        }
        assert engine.api("POST", "/v1.44/containers/create?name=box", body).status == 201
        told.append(
            (engine.ok("start", "-a", "box"), engine.inspect("box", "{{json .HostConfig.ConsoleSize}}"))
        )
    assert told[0] == told[1] == ("33 99", "[33,99]")
