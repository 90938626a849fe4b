"""`run`'s options become the body that the docker CLI sends for the same words."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hostagent import wire
from machine.cli import framework, launch, run
from machine.cli.request import container_create
from machine.cli.run_options import RunOptions
from machine.errors import Usage
from tests.unit.cli.recorder import Recorder

IMAGE = ["busybox"]
CASES = [
    ["run", *IMAGE],
    ["run", "-d", *IMAGE, "sleep", "-x", "9"],
    ["run", "-i", *IMAGE, "cat"],
    ["run", "-it", *IMAGE],
    ["run", "-dit", "--name", "web", *IMAGE],
    ["run", "--rm", "-e", "OURS", "-e", "GONE", "-e", "B=c d", "-e", "E=", "--env-file", "vars", *IMAGE],
    ["run", "-v", "./x:/y", "-v", "/data", "-v", "vol:/b:ro", "-v", "/a/../b:/c:rw", *IMAGE],
    ["run", "--tmpfs", "/t:size=1m,mode=700", "--tmpfs", "/u", *IMAGE],
    ["run", "-w", "/srv", "-u", "1:2", "--entrypoint", "/bin/sh", "-h", "box", *IMAGE, "-c", "true"],
    ["run", "--entrypoint", "", *IMAGE, "ls"],
    ["run", "-l", "a=b", "--label", "c", "-l", "d=e=f", *IMAGE],
    ["run", "-p", "8080:80", "-p", "80", "-p", "127.0.0.1:90-91:90-91/udp", *IMAGE],
    [
        "run",
        "-p",
        "3000-4000:5",
        "-p",
        "[::1]:7:7",
        "-p",
        "0:9",
        "-p",
        "127.0.0.1::10",
        "-p",
        "11-12",
        *IMAGE,
    ],
    ["run", "-m", "512m", "--cpus", "1.5", "--pids-limit", "7", *IMAGE],
    ["run", "--memory=1.5g", "--cpus=.25", "--pids-limit=-1", *IMAGE],
    [
        "run",
        "--cap-add",
        "NET_ADMIN",
        "--cap-drop",
        "ALL",
        "--cap-drop",
        "MKNOD",
        "--cap-add",
        "cap_chown",
        *IMAGE,
    ],
    ["run", "--read-only", "--init", "--stop-signal", "INT", "--stop-timeout", "3", *IMAGE],
    ["run", "--network", "none", *IMAGE],
    ["run", "--net=host", *IMAGE],
    ["run", "--network", "bridge", *IMAGE],
    ["run", "--restart", "on-failure:3", *IMAGE],
    ["run", "--restart=unless-stopped", "-d", *IMAGE],
    ["run", "--rm=true", "-t=false", "-i=true", *IMAGE],
    ["create", "-i", "--restart", "always", *IMAGE, "--", "-x"],
    ["run", *IMAGE, "--", "x"],
]
MORE = """
--network mynet
--network mynet --network-alias a --network-alias b --ip 10.0.0.2 --ip6 fd00::2 --link x:y --link-local-ip 169.254.1.1
--network mynet --mac-address 02:42:ac:11:00:09
--mac-address 02:42:ac:11:00:09
--network name=n1,alias=q,ip=10.1.1.1,mac-address=02:42:ac:11:00:09,driver-opt=a=b --network n2
--network container:abc
--link x:y
--link x --network bridge --mac-address 02:42:ac:11:00:09
--ip 10.0.0.2
-P --expose 80 --expose 90-92/udp -p 80
--annotation a=b
-a stdout -a STDERR
-a stdin -i
--gpus all
--gpus 2
--gpus device=0
--gpus driver=nvidia,count=2,capabilities=compute
--device /dev/null --device /dev/zero:/dev/z --device /dev/a:rw --device /dev/b:/dev/c:r
--blkio-weight 100 --blkio-weight-device /dev/sda:200 --device-read-bps /dev/sda:1mb --device-write-iops /dev/sda:100
--device-write-bps /dev/sda:2k --device-read-iops /dev/sda:5
--ulimit nofile=100 --ulimit core=0:-1
--memory 1g --memory-swap -1 --memory-reservation 512m --memory-swappiness 50 --oom-kill-disable --oom-score-adj 5
-c 5 --cpu-period 1000 --cpu-quota 2000 --cpuset-cpus 0 --cpuset-mems 0 --cpu-rt-period 1000 --cpu-rt-runtime 100
--security-opt seccomp=profile.json --security-opt apparmor:x --security-opt no-new-privileges
--security-opt systempaths=unconfined --security-opt seccomp=unconfined
--pid host --ipc host --uts host --userns host --cgroupns host --runtime x --isolation default
--health-cmd true --health-interval 5s --health-retries 3 --health-timeout 1m30s --health-start-period 2s
--health-cmd true --health-start-interval 1500ms
--no-healthcheck
--log-driver local --log-opt max-size=1m
--label-file labels -l z=1
--cidfile cid
--mount type=bind,source=/a,target=/b,readonly,bind-propagation=rslave
--mount type=volume,src=v,dst=/d,volume-nocopy,volume-label=a=b,volume-driver=local,volume-opt=o=x,volume-subpath=s
--mount type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=1770
--mount target=/d
--mount type=bind,src=./rel,dst=/b,bind-recursive=disabled
--mount type=bind,src=/a,dst=/b,ro,bind-propagation=rprivate,bind-recursive=readonly
--mount type=bind,src=/a,dst=/b,readonly=true,bind-recursive=writable
--mount type=image,src=busybox,dst=/i,image-subpath=x
--volumes-from c1:ro --volumes-from c2 --volume-driver local
--dns 1.1.1.1 --dns-search a.b --dns-opt x:1 --add-host a:1.2.3.4 --add-host b=::1 --add-host c:host-gateway
--group-add a --group-add 5 --domainname d --shm-size 1g --sysctl net.a=1 --storage-opt size=1G --cgroup-parent /x
--privileged --stop-timeout 0
"""
CASES += [["create", *line.split(), *IMAGE] for line in MORE.strip().splitlines()]
CASES.append(["create", "--device-cgroup-rule", "c 1:3 rwm", *IMAGE])


class Caught(Exception):
    """Carries what would have been sent."""


def ours(args: list[str], cwd: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str | None, dict[str, Any]]:
    def catch(context: object, machine: object, order: launch.Order, **rest: object) -> int:
        raise Caught(order)

    monkeypatch.setattr(launch, "run", catch)
    monkeypatch.setattr(launch, "create", catch)
    command = framework.command_of(run.run if args[0] == "run" else run.create, args[0])
    with pytest.raises(Caught) as caught:
        command.main(args[1:], standalone_mode=False)
    order: launch.Order = caught.value.args[0]
    body = container_create(order.options, os.environ, str(cwd))
    found: dict[str, Any] = json.loads(wire.encode(body))
    return order.name, found


def significant(value: Any) -> Any:
    """Without what Go writes for nothing: null, [] and {} mean the same to every engine."""
    if isinstance(value, dict):
        kept = {key: significant(item) for key, item in value.items() if key != "GwPriority"}
        return {key: item for key, item in kept.items() if item not in (None, [])}
    return [significant(item) for item in value] if isinstance(value, list) else value


def without_empty(value: Any) -> Any:
    """`{}` is a value inside ExposedPorts and Volumes, and nothing elsewhere."""
    body = significant(value)
    for part in (body, body["HostConfig"]):
        for key in [key for key, item in part.items() if item == {}]:
            del part[key]
    # docker takes them out of maps, in any order.
    body["HostConfig"].get("Binds", []).sort()
    body.get("Env", []).sort()
    log = body["HostConfig"]["LogConfig"]
    body["HostConfig"]["LogConfig"] = {key: value for key, value in log.items() if value}
    return body


@pytest.mark.parametrize("args", CASES, ids=" ".join)
def test_same_as_docker(
    args: list[str], docker_cli: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vars").write_text("# comment\nF=1 2\n\nOURS\nGONE\nQ='q'\n")
    (tmp_path / "labels").write_text("x=1\n# comment\nz=0\n")
    (tmp_path / "profile.json").write_text('{ "defaultAction": "SCMP_ACT_ALLOW" }')
    monkeypatch.setenv("OURS", "here")
    monkeypatch.delenv("GONE", raising=False)
    monkeypatch.chdir(tmp_path)
    # docker refuses `run -it` without a terminal before it asks the engine; `create` is the same body.
    theirs_args = ["create", *args[1:]] if "-it" in args else args
    with Recorder(tmp_path, docker_cli) as recorder:
        path, theirs = recorder.create(theirs_args, tmp_path, dict(os.environ))
    name, mine = ours(args, tmp_path, monkeypatch)
    assert without_empty(mine) == without_empty(theirs)
    assert ("?name=web" in path) == (name == "web")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (RunOptions("x", publish=("a:80",)), "invalid port"),
        (RunOptions("x", publish=("70000",)), "1 to 65535"),
        (RunOptions("x", publish=("1-2:3-5",)), "same length"),
        (RunOptions("x", publish=("80/icmp",)), "tcp, udp or sctp"),
        (RunOptions("x", publish=("1:2:3:4",)), "invalid port"),
        (RunOptions("x", publish=("",)), "invalid port"),
        (RunOptions("x", volume=("a:b",)), "absolute path"),
        (RunOptions("x", volume=("rel",)), "absolute path"),
        (RunOptions("x", volume=("/a:/b:ro:x",)), "absolute path"),
        (RunOptions("x", memory="lots"), "512m"),
        (RunOptions("x", cpus="two"), "1.5"),
        (RunOptions("x", cpus="NaN"), "CPUs"),
        (RunOptions("x", restart="sometimes"), "unless-stopped"),
        (RunOptions("x", restart="always", remove=True), "contradict"),
        (RunOptions("x", env=("=x",)), "NAME=VALUE"),
        (RunOptions("x", env_file=("/nonexistent",)), "/nonexistent"),
        (RunOptions("x", mount=("type=bind,src=/a",)), "no target"),
        (RunOptions("x", mount=("foo=1",)), 'no option "foo"'),
        (RunOptions("x", mount=("type=bind,dst=/a,volume-nocopy",)), "type=volume"),
        (RunOptions("x", mount=("dst=/a,readonly=perhaps",)), "true or false"),
        (RunOptions("x", mount=("type=bind,src=/a,dst=/b,bind-recursive=readonly",)), "readonly beside"),
        (RunOptions("x", mount=("type=tmpfs,dst=/b,tmpfs-mode=9",)), "octal"),
        (RunOptions("x", ulimit=("nofiles=1",)), "no limit"),
        (RunOptions("x", ulimit=("nofile=3:2",)), "above the hard"),
        (RunOptions("x", ulimit=("nofile=x",)), "whole numbers"),
        (RunOptions("x", device=("/dev/a:/b:rwx",)), "rwm"),
        (RunOptions("x", device_cgroup_rule=("x 1:2 r",)), "c 1:3 rwm"),
        (RunOptions("x", blkio_weight_device=("/dev/sda:5",)), "10 to 1000"),
        (RunOptions("x", device_read_bps=("sda:5",)), "/dev/NAME"),
        (RunOptions("x", device_read_iops=("/dev/sda:5k",)), "whole number"),
        (RunOptions("x", gpus="some"), "number of GPUs"),
        (RunOptions("x", security_opt=("foo",)), "OPTION=VALUE"),
        (RunOptions("x", security_opt=("seccomp=/nonexistent",)), "/nonexistent"),
        (RunOptions("x", network_alias=("a",)), "--network-alias"),
        (RunOptions("x", network=("bridge", "net")), "no second network"),
        (RunOptions("x", network=("alias=a",)), "no name"),
        (RunOptions("x", ip="::1"), "no IPv4"),
        (RunOptions("x", mac_address="x"), "six pairs"),
        (RunOptions("x", add_host=("a",)), "NAME:ADDRESS"),
        (RunOptions("x", add_host=("a:b",)), "no address"),
        (RunOptions("x", expose=("1:2",)), "publish one with -p"),
        (RunOptions("x", attach=("stdfoo",)), "stdin, stdout or stderr"),
        (RunOptions("x", attach=("stdin",), detach=True), "contradict"),
        (RunOptions("x", health_interval="soon"), "1m30s"),
        (RunOptions("x", health_cmd="x", no_healthcheck=True), "contradict"),
        (RunOptions("x", log_driver="none", log_opt=("a=b",)), "no options"),
        (RunOptions("x", memory_swappiness=101), "0 to 100"),
    ],
)
def test_wrong_usage_is_told(options: RunOptions, words: str) -> None:
    with pytest.raises(Usage, match=words):
        container_create(options, {}, "/")
