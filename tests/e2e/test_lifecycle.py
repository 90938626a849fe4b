"""The life of a container: states, restart policies, waiting, events, removal."""

from __future__ import annotations

import json
import time

import pytest

from tests.servers.engine import Engine

EXIT_3 = ["sh", "-c", "echo run; exit 3"]


def test_states(engine: Engine) -> None:
    engine.ok("create", "--name", "box", "busybox", "sleep", "60")
    assert engine.inspect("box", "{{.State.Status}}") == "created"
    engine.ok("start", "box")
    assert engine.inspect("box", "{{.State.Status}} {{.State.Running}}") == "running true"
    pid = engine.inspect("box", "{{.State.Pid}}")
    assert int(pid) > 1
    engine.ok("restart", "-t", "0", "box")
    assert engine.inspect("box", "{{.State.Status}}") == "running"
    assert engine.inspect("box", "{{.State.Pid}}") != pid
    engine.ok("kill", "box")
    engine.wait_for("box", "{{.State.Status}}", "exited")
    assert engine.inspect("box", "{{.State.ExitCode}} {{.State.Pid}}") == "137 0"
    engine.ok("start", "box")
    engine.ok("rm", "-f", "box")
    assert engine.docker("inspect", "box").code == 1


def test_what_was_written_survives_a_restart(engine: Engine) -> None:
    engine.ok("run", "--name", "box", "busybox", "sh", "-c", "cat /kept 2>/dev/null; echo one >>/kept")
    engine.ok("start", "-a", "box")
    assert engine.ok("start", "-a", "box") == "one\none"


def test_wait(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "box", "busybox", "sh", "-c", "sleep 0.5; exit 6")
    assert engine.ok("wait", "box") == "6"
    assert engine.ok("wait", "box") == "6"
    answer = engine.api("POST", "/containers/box/wait?condition=not-running")
    assert answer.body == {"StatusCode": 6}


def test_stop_of_a_stopped_one_changes_nothing(engine: Engine) -> None:
    engine.ok("run", "--name", "box", "busybox", "true")
    assert engine.api("POST", "/containers/box/stop").status == 304
    engine.ok("start", "box")
    engine.ok("run", "-d", "--name", "box2", "busybox", "sleep", "60")
    assert engine.api("POST", "/containers/box2/start").status == 304


def test_rename(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "old", "busybox", "sleep", "60")
    engine.ok("rename", "old", "new")
    assert engine.inspect("new", "{{.Name}}") == "/new"
    assert engine.docker("inspect", "old").code == 1


def test_on_failure_gives_up(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "box", "--restart", "on-failure:2", "busybox", *EXIT_3)
    engine.wait_for("box", "{{.RestartCount}} {{.State.Status}}", "2 exited")
    assert engine.ok("logs", "box") == "run\nrun\nrun"
    assert engine.inspect("box", "{{.State.ExitCode}}") == "3"


def test_on_failure_leaves_success_alone(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "box", "--restart", "on-failure", "busybox", "true")
    engine.wait_for("box", "{{.State.Status}}", "exited")
    time.sleep(0.4)
    assert engine.inspect("box", "{{.RestartCount}} {{.State.Status}}") == "0 exited"


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_always_restarts_until_stopped(engine: Engine, policy: str) -> None:
    engine.ok(
        "run", "-d", "--name", "box", "--restart", policy, "busybox", "sh", "-c", "echo up; sleep 0.1; exit 1"
    )
    deadline = time.monotonic() + 15
    while engine.ok("logs", "box").count("up") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    engine.ok("stop", "-t", "1", "box")
    count = engine.ok("logs", "box").count("up")
    time.sleep(1.0)
    assert engine.inspect("box", "{{.State.Status}}") == "exited"
    assert engine.ok("logs", "box").count("up") == count


def test_rm_of_a_running_one_is_refused(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "60")
    refused = engine.docker("rm", "box")
    assert refused.code == 1
    assert "container is running" in refused.err or "cannot remove" in refused.err.lower()
    assert engine.inspect("box", "{{.State.Running}}") == "true"


def test_run_rm_of_a_killed_one(engine: Engine) -> None:
    engine.ok("run", "-d", "--rm", "--name", "box", "busybox", "sleep", "60")
    engine.ok("kill", "box")
    deadline = time.monotonic() + 10
    while engine.ok("ps", "-aq"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_events(engine: Engine) -> None:
    begin = f"{time.time():.6f}"
    engine.docker("run", "--rm", "--name", "box", "busybox", "sh", "-c", "exit 3")
    time.sleep(0.5)
    lines = engine.ok(
        "events",
        "--since",
        begin,
        "--until",
        f"{time.time():.6f}",
        "--format",
        "{{json .}}",
        "--filter",
        "type=container",
    ).splitlines()
    events = [json.loads(line) for line in lines]
    actions = [event["Action"] for event in events]
    assert [a for a in actions if a != "attach"] == ["create", "start", "die", "destroy"]
    died = events[actions.index("die")]
    assert died["Actor"]["Attributes"]["exitCode"] == "3"
    assert died["Actor"]["Attributes"]["name"] == "box"
    assert died["Actor"]["Attributes"]["image"] == "busybox"
    assert died["timeNano"] >= events[0]["timeNano"]


def test_ps(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "up", "-p", "8085:80", "busybox", "sleep", "60")
    engine.docker("run", "--name", "down", "busybox", *EXIT_3)
    template = "{{.Names}}|{{.Image}}|{{.Command}}|{{.Status}}|{{.Ports}}"
    (line,) = engine.ok("ps", "--format", template).splitlines()
    name, image, command, status, ports = line.split("|")
    assert (name, image, command) == ("up", "busybox", '"sleep 60"')
    assert status.startswith("Up ")
    assert "0.0.0.0:8085->80/tcp" in ports
    both = engine.ok("ps", "-a", "--format", "{{.Names}} {{.Status}}").splitlines()
    assert both[0].startswith("down Exited (3) ")
    assert engine.ok("ps", "-a", "--filter", "status=exited", "--format", "{{.Names}}") == "down"
    assert engine.ok("ps", "-a", "--filter", "exited=3", "--format", "{{.Names}}") == "down"
    assert engine.ok("ps", "-a", "--filter", "ancestor=busybox", "-q").count("\n") == 1
    assert engine.ok("ps", "-n", "1", "--format", "{{.Names}}") == "down"


def test_references(engine: Engine) -> None:
    identity = engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "60")
    for reference in ("box", "/box", identity, identity[:12], identity[:6]):
        assert engine.ok("inspect", "-f", "{{.Id}}", reference) == identity


def test_top_level_information(engine: Engine) -> None:
    assert engine.api("GET", "/_ping").body == "OK"
    version = engine.api("GET", "/version").body
    assert isinstance(version, dict)
    assert version["MinAPIVersion"] == "1.24"
    assert [int(part) for part in version["ApiVersion"].split(".")] >= [1, 45]
    info = engine.api("GET", "/info").body
    assert isinstance(info, dict)
    assert info["OSType"] == "linux"
    assert info["NCPU"] > 0
    assert info["MemTotal"] > 0
    assert info["Images"] == 1
    assert info["Driver"] == "overlay2"
