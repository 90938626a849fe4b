"""A start that fails: `docker run` has attached and waits for the end by then, and must get an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.root.differential.conftest import Same
from tests.servers.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]

STATE = "{{.State.Status}} {{.State.ExitCode}} {{.State.Running}}"


def test_a_port_in_use(engine: Engine) -> None:
    engine.ok("run", "-d", "-p", "18080:80", "busybox", "sleep", "60")
    for options in (["--rm"], ["-d", "--name", "second"], ["--name", "third"]):
        failed = engine.docker("run", *options, "-p", "18080:80", "busybox", "true", timeout=10)
        assert failed.code == 125
        assert "Bind for 0.0.0.0:18080 failed: port is already allocated" in failed.err
    for name in ("second", "third"):
        assert engine.inspect(name, STATE) == "created 128 false"
        assert "port is already allocated" in engine.inspect(name, "{{.State.Error}}")
    assert len(engine.ok("ps", "-aq").split()) == 3


def test_an_address_that_the_host_lacks(engine: Engine) -> None:
    failed = engine.docker("run", "--rm", "-p", "192.0.2.7:18080:80", "busybox", "true", timeout=10)
    assert (failed.code, "192.0.2.7" in failed.err) == (125, True)
    assert engine.ok("ps", "-aq") == ""


def test_a_later_start_that_fails_leaves_it_exited(engine: Engine) -> None:
    """With the exit code of the command's last end, unless that was 0."""
    engine.ok("run", "--name", "first", "-p", "18080:80", "busybox", "true")
    assert engine.docker("run", "--name", "failed", "-p", "18080:80", "busybox", "false").code == 1
    engine.ok("run", "-d", "-p", "18080:80", "busybox", "sleep", "60")
    for name, code in (("first", 128), ("failed", 1)):
        assert engine.docker("start", name).code == 1
        assert engine.inspect(name, STATE) == f"exited {code} false"


def test_no_event_tells_of_a_death(engine: Engine) -> None:
    before = engine.ok("info", "--format", "{{.SystemTime}}")
    engine.docker("run", "--name", "box", "busybox", "nosuch")
    after = engine.ok("info", "--format", "{{.SystemTime}}")
    told = engine.ok(
        "events", "--since", before, "--until", after, "--filter", "type=container", "--format", "{{.Action}}"
    )
    assert told.split() == ["create", "attach"]


def test_states_in_the_same_words(same: Same) -> None:
    for name, command in (("lost", "nosuch"), ("folder", "/etc")):
        same("run", "--name", name, "busybox", command)
        same("inspect", "-f", "{{json .State}}", name)


def test_a_network_that_is_not_there(same: Same) -> None:
    """Not taken for a missing image, which clients would pull."""
    same("run", "--rm", "--network", "ghost", "busybox", "true")


def test_one_to_be_removed_is_gone_before_the_failure_is_told(engine: Engine) -> None:
    """Old clients stop waiting for the removal as soon as they hear of the failure."""
    body = {"Image": "busybox", "Cmd": ["nosuch"], "HostConfig": {"AutoRemove": True}}
    assert engine.api("POST", "/v1.44/containers/create?name=box", body).status == 201
    assert engine.api("POST", "/v1.44/containers/box/start").status == 400
    assert engine.api("GET", "/v1.44/containers/box/json").status == 404


def test_with_the_old_client(engine: Engine, old_docker_cli: Path) -> None:
    result = engine.docker("run", "--rm", "busybox", "nosuch", cli=old_docker_cli)
    assert result.code == 127
    if engine.name != "dockerd":  # which loses this race now and then
        assert "error waiting" not in result.err
