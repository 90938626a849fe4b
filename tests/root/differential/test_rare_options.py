"""Options of docker's commands that few people use: what they do, and how they are refused."""

from __future__ import annotations

import os
import signal
import stat
import tarfile
from pathlib import Path

import pytest

from tests.root.differential.conftest import Same
from tests.root.differential.test_resources import only_v1
from tests.servers.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]


def test_options_of_other_systems_and_of_the_client_alone(same: Same) -> None:
    options = (
        "--cpu-count 1 --cpu-percent 10 --io-maxbandwidth 1m --io-maxiops 5 --isolation default --pull never"
    )
    more = "--disable-content-trust --platform linux --runtime runc --annotation a=b --annotation c= --quiet"
    same("create", "--name", "box", *options.split(), *more.split(), "busybox", "true")
    fields = "CpuCount CpuPercent IOMaximumBandwidth IOMaximumIOps Isolation Runtime Annotations"
    same("inspect", "-f", " ".join(f"{{{{.HostConfig.{name}}}}}" for name in fields.split()), "box")
    same("start", "-a", "box")


@pytest.mark.parametrize(
    "options",
    [
        "--isolation hyperv",
        "--runtime nosuch",
        "--storage-opt size=1G",
        "--storage-opt nosuch=1",
        "--label-file SHARE/nosuch",
        "--device-read-bps /nosuch:1mb",
        "--device-write-iops SHARE/disk:x",
        "--blkio-weight-device SHARE/disk:5",
        "--use-api-socket",
        "--health-cmd true --no-healthcheck",
    ],
)
def test_refused(same: Same, options: str) -> None:
    same("run", "--rm", *options.split(), "busybox", "true")


@only_v1
def test_a_period_of_realtime_without_a_group_for_it(same: Same) -> None:
    same("run", "--rm", "--cpu-rt-period", "1000", "busybox", "true")


@only_v1
def test_throttles_of_a_disk(both: tuple[Engine, Engine], same: Same) -> None:
    for engine in both:
        os.mknod(engine.share / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 0))
    try:
        limits = "--device-read-bps SHARE/disk:1mb --device-write-bps SHARE/disk:2mb"
        more = "--device-read-iops SHARE/disk:10 --device-write-iops SHARE/disk:20 --blkio-weight-device SHARE/disk:100"
        same("run", "-d", "--name", "box", *limits.split(), *more.split(), "busybox", "sleep", "60")
        same("exec", "box", "sh", "-c", "grep . /sys/fs/cgroup/blkio/blkio.throttle.*_device")
        fields = ("BlkioDeviceReadBps", "BlkioDeviceWriteIOps", "BlkioWeightDevice")
        same("inspect", "-f", " ".join(f"{{{{json .HostConfig.{name}}}}}" for name in fields), "box")
    finally:
        for engine in both:
            (engine.share / "disk").unlink()


@pytest.mark.parametrize("search", ["--dns-search x.y --dns-search .", "--dns-search .", "--dns-search a.b"])
def test_how_names_are_looked_up(same: Same, search: str) -> None:
    options = "--dns 198.51.100.9 --dns-option ndots:3 --dns-option rotate"
    look = "grep -E '^(search|options|nameserver)' /etc/resolv.conf"
    same("run", "--rm", *options.split(), *search.split(), "busybox", "sh", "-c", look)


def test_what_needs_a_network_of_ones_own(both: tuple[Engine, Engine], same: Same) -> None:
    """Justified: dockerd refuses an address with two lines."""
    same("run", "--rm", "--network-alias", "alias", "busybox", "true")
    for options in ("--ip 172.17.0.9", "--ip6 ::9"):
        for engine in both:
            failed = engine.docker("run", "--rm", *options.split(), "busybox", "true")
            assert failed.code == 125
            assert "user specified IP address is supported on user defined networks only" in failed.err


def test_files_of_variables_and_labels(both: tuple[Engine, Engine], same: Same) -> None:
    for engine in both:
        (engine.share / "variables").write_text("# comment\nA=1\nB=two words\n\nHOME\n")
    run = ("run", "-d", "--name", "box", "--label-file", "SHARE/variables", "--env-file", "SHARE/variables")
    same(*run, "busybox", "sleep", "60")
    same("inspect", "-f", "{{json .Config.Labels}}", "box")
    same("exec", "box", "sh", "-c", 'echo "$A $B"')
    same("exec", "--env-file", "SHARE/variables", "-e", "A=3", "box", "sh", "-c", 'echo "$A $B"')
    same("exec", "--env-file", "SHARE/nosuch", "box", "true")


def test_every_port_that_is_exposed(both: tuple[Engine, Engine]) -> None:
    told = []
    for engine in both:
        run = ("run", "-d", "--name", "box", "--expose", "80-81", "--expose", "53/udp", "--publish-all")
        engine.ok(*run, "busybox", "sleep", "60")
        lines = engine.ok("port", "box").splitlines()
        told.append(sorted({line.partition(" ")[0] for line in lines}))
        assert all(int(line.rpartition(":")[2]) >= 32768 for line in lines)
    assert told[1] == told[0] == ["53/udp", "80/tcp", "81/tcp"]


def test_driver_of_volumes(both: tuple[Engine, Engine], same: Same) -> None:
    same(
        "run", "--name", "box", "--volume-driver", "local", "-v", "data:/data", "busybox", "touch", "/data/x"
    )
    same("inspect", "-f", "{{.HostConfig.VolumeDriver}} {{range .Mounts}}{{.Driver}}{{end}}", "box")
    same("inspect", "--type", "volume", "-f", "{{.Name}} {{.Driver}}", "data")
    same("inspect", "--type", "container", "-f", "{{.Name}}", "box")
    for kind in ("image", "nosuch"):
        same("inspect", "--type", kind, "box")
    same("rm", "box")


def test_rare_options_of_start_and_stats(same: Same) -> None:
    same("create", "--name", "box", "busybox", "echo", "hi")
    same("start", "--checkpoint", "one", "box")
    same("start", "--checkpoint", "one", "--checkpoint-dir", "/dir", "box")
    same("start", "--detach-keys", "ctrl-?", "-a", "box")
    same("start", "--detach-keys", "ctrl-x", "-a", "box")
    same("stats", "--no-stream", "--no-trunc", "--format", "{{len .ID}} {{.Name}}", "box")
    same("system", "df", "--verbose", "--format", "{{range .Containers}}{{.Names}} {{.Status}}{{end}}")


@only_v1
def test_processors_and_memory_nodes_are_changed(same: Same) -> None:
    same("run", "-d", "--name", "box", "busybox", "sleep", "60")
    options = "--cpu-period 100000 --cpu-quota 50000 --cpuset-cpus 0 --cpuset-mems 0 --cpu-shares 99"
    same("update", *options.split(), "box")
    look = "cd /sys/fs/cgroup; cat cpu/cpu.cfs_* cpu/cpu.shares cpuset/cpuset.cpus cpuset/cpuset.mems"
    same("exec", "box", "sh", "-c", look)
    same("update", "--cpus", "2", "box")
    same("update", "--cpu-rt-period", "1000", "box")


@only_v1
def test_realtime_and_weight_in_an_update(daemon_engine: Engine) -> None:
    """Justified: dockerd takes them and changes nothing; ours does it, or says why it cannot be done."""
    daemon_engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "60")
    daemon_engine.ok("update", "--blkio-weight", "200", "box")
    weight = "cat /sys/fs/cgroup/blkio/blkio.bfq.weight"
    assert daemon_engine.ok("exec", "box", "sh", "-c", weight) == "200"
    refused = daemon_engine.docker("update", "--cpu-rt-runtime", "1000", "box")
    assert (refused.code, "cpu.rt_runtime_us" in refused.err) == (1, True)
    assert daemon_engine.inspect("box", "{{.HostConfig.CPURealtimeRuntime}}") == "0"


@pytest.fixture
def daemon_engine(both: tuple[Engine, Engine]) -> Engine:
    """Ours."""
    return both[1]


def test_signals_of_a_client_that_attached(engine: Engine) -> None:
    """With --sig-proxy=false they are the client's own."""
    script = "trap 'echo got USR1' USR1; while :; do echo tick; sleep 0.05; done"
    engine.ok("run", "-d", "--name", "box", "busybox", "sh", "-c", script)
    with engine.start("attach", "--sig-proxy=false", "box") as quiet, engine.start("attach", "box") as client:
        try:
            for each in (quiet, client):
                assert each.stdout and each.stdout.readline() == b"tick\n"
            quiet.send_signal(signal.SIGUSR1)
            assert quiet.stdout
            assert {quiet.stdout.readline() for _ in range(5)} == {b"tick\n"}
            client.send_signal(signal.SIGUSR1)
            engine.wait_for_log("box", "got USR1")
            assert engine.ok("logs", "box").count("got USR1") == 1
        finally:
            for each in (quiet, client):
                each.kill()


def test_some_of_the_streams(same: Same) -> None:
    script = "echo out; echo err >&2; cat"
    for streams in (["stdout"], ["stderr"], ["stdin", "stdout"], ["stdout", "stderr"], ["nosuch"]):
        options = [word for stream in streams for word in ("-a", stream)]
        same(
            "run", "--rm", *options, "--attach", streams[0], "-i", "busybox", "sh", "-c", script, stdin="in\n"
        )
    same("run", "-d", "--attach", "stdin", "busybox", "true")


@only_v1
def test_memory_that_is_not_swapped_and_not_killed_for(same: Same) -> None:
    look = "cd /sys/fs/cgroup/memory; cat memory.swappiness; head -1 memory.oom_control"
    options = ("--memory-swappiness", "7", "--oom-kill-disable")
    same("run", "--rm", "-m", "64m", *options, "busybox", "sh", "-c", look)
    same("run", "--rm", *options, "busybox", "true")
    same("run", "--rm", "--memory-swappiness", "101", "busybox", "true")


def test_signals_of_stop_and_restart(same: Same) -> None:
    script = (
        "trap 'echo INT; exit 3' INT; trap 'echo USR1; exit 4' USR1; echo ready; while :; do sleep 0.05; done"
    )
    same("create", "--name", "box", "--stop-signal", "INT", "busybox", "sh", "-c", script)
    for options in (["stop"], ["stop", "--signal", "USR1"], ["stop", "-t", "0", "--signal", "0"]):
        same("start", "box")
        same(*options, "box")
        same("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "box")
    same("restart", "--signal", "KILL", "-t", "0", "box")
    same("stop", "-s", "NOPE", "box")
    same("restart", "-s", "NOPE", "box")


def test_a_file_of_an_export_and_what_came_last(both: tuple[Engine, Engine], same: Same) -> None:
    same("ps", "--latest", "--format", "{{.Names}}")
    same("create", "--name", "first", "busybox", "true")
    same("create", "--name", "second", "busybox", "true")
    same("ps", "--latest", "--format", "{{.Names}} {{.Command}} {{.Status}}")
    same("ps", "-l", "--filter", "name=first", "--format", "{{.Names}}")
    same("export", "--output", "SHARE/box.tar", "first")
    for engine in both:
        with tarfile.open(engine.share / "box.tar") as tar:
            assert "bin/busybox" in tar.getnames()
    same("export", "-o", "SHARE/nosuch/box.tar", "first")


def test_a_commit_without_a_pause(both: tuple[Engine, Engine], same: Same) -> None:
    same("run", "-d", "--name", "box", "busybox", "sleep", "60")
    boxes = {engine.name: engine.inspect("box", "{{.Id}}") for engine in both}
    told = []
    for pause in ("--pause=false", "--pause"):
        same("commit", pause, "box", "committed")
        for engine in both:
            now = engine.ok("info", "--format", "{{.SystemTime}}")
            filters = (
                "--filter",
                "event=pause",
                "--filter",
                "event=unpause",
                "--filter",
                f"container={boxes[engine.name]}",
            )
            told.append(
                engine.ok("events", "--since", "1h", "--until", now, *filters, "--format", "{{.Action}}")
            )
    assert told == ["", "", "pause\nunpause", "pause\nunpause"]


def test_options_that_are_no_longer_documented(old_docker_cli: Path, both: tuple[Engine, Engine]) -> None:
    """Docker 20.10 still lists them. Justified: ours says so when an update has it, dockerd only at create."""
    version = ("version", "--kubeconfig", "none", "--format", "{{.Server.Os}}")
    for engine in both:
        engine.ok("create", "--name", "box", "busybox", "true")
        assert engine.docker(*version, cli=old_docker_cli).out == "linux\n"
        changed = engine.docker("update", "--kernel-memory", "64m", "box", cli=old_docker_cli)
        assert (changed.code, changed.out.splitlines()[0]) == (0, "box")
    assert "Limitation discarded" in changed.out


PLATFORMS = (
    "linux",
    "LINUX/amd64",
    "amd64",
    "linux/x86_64",
    "linux/amd64/v2",
    "linux/arm64",
    "windows",
    "a/b/c/d",
    "x",
)


def test_names_of_platforms(both: tuple[Engine, Engine]) -> None:
    for platform in PLATFORMS:
        theirs, ours = (
            engine.api(
                "POST", f"/v1.44/containers/create?platform={platform}", {"Image": "busybox", "Cmd": ["x"]}
            )
            for engine in both
        )
        assert (ours.status, platform) == (theirs.status, platform)
        if theirs.status == 404:
            assert ours.message == theirs.message


def test_lines_of_hosts_as_the_api_has_them(both: tuple[Engine, Engine]) -> None:
    for entry in ("name", ":1.2.3.4", "name=1.2.3.4", "name:1.2.3", "name:::1", "name:host-gateway"):
        body = {"Image": "busybox", "Cmd": ["x"], "HostConfig": {"ExtraHosts": [entry]}}
        theirs, ours = (engine.api("POST", "/v1.44/containers/create", body) for engine in both)
        assert (ours.status, ours.message) == (theirs.status, theirs.message)
