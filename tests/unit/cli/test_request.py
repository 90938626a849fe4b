"""`run`'s options become the body that the docker CLI sends for the same words."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hostagent import wire
from machine.cli import framework, launch, run
from machine.cli.request import RunOptions, container_create
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
    body["HostConfig"]["LogConfig"] = {"Type": ""}
    return body


@pytest.mark.parametrize("args", CASES, ids=" ".join)
def test_same_as_docker(
    args: list[str], docker_cli: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vars").write_text("# comment\nF=1 2\n\nOURS\nGONE\nQ='q'\n")
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
    ],
)
def test_wrong_usage_is_told(options: RunOptions, words: str) -> None:
    with pytest.raises(Usage, match=words):
        container_create(options, {}, "/")
