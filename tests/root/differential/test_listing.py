"""`docker ps` filters and columns, `inspect`, `events` and `logs`."""

from __future__ import annotations

import pytest

from tests.root.differential.conftest import Same
from tests.servers.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]

FILTERS = (
    *("name=one", "name=^/one$", "name=o[nm]e", "name=ONE", "ancestor=busybox:latest", "ancestor=ghost"),
    *("health=none", "health=healthy", "health=odd", "is-task=false", "is-task=true", "label!=a"),
    *("expose=7000", "expose=80-90/udp", "publish=18080", "publish=18081-18090"),
)


def test_filters_of_ps(both: tuple[Engine, Engine], same: Same) -> None:
    for engine in both:
        engine.ok(
            "run", "-d", "--name", "one", "-p", "18080:80", "--expose", "7000", "busybox", "sleep", "60"
        )
        engine.ok("create", "--name", "ome", "-l", "a=b", "busybox")
    for each in FILTERS:
        same("ps", "-a", "--format", "{{.Names}}", "--filter", each)


def test_the_command_is_quoted(same: Same) -> None:
    same("create", "busybox", "sh", "-c", "echo a; echo b", "c")
    same("ps", "-a", "--no-trunc", "--format", "{{.Command}}")


def test_inspect_of_what_is_not_there(same: Same) -> None:
    same("inspect", "ghost")
    for verb in ("pause", "unpause", "top", "diff"):
        same(verb, "ghost")


def test_execs_that_ended_are_not_shown(same: Same) -> None:
    same("run", "-d", "--name", "box", "busybox", "sleep", "60")
    same("exec", "box", "true")
    same("inspect", "-f", "{{json .ExecIDs}}", "box")


def test_details_of_logs(same: Same) -> None:
    same("run", "--name", "box", "busybox", "sh", "-c", "echo a; echo b")
    same("logs", "--details", "box")


def test_signals_of_kill(same: Same) -> None:
    same("run", "-d", "--name", "box", "busybox", "sleep", "60")
    for signal in (
        "99",
        "33",
        "0",
        "NOPE",
        "SIGRTMIN+16",
        "SIGRTMIN+70",
        "SIGRTMAX-15",
        "UNUSED",
        "SIGRTMIN+1",
    ):
        same("kill", "-s", signal, "box")


def test_events_of_an_exec_and_of_a_forced_end(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "60")
    before = engine.ok("info", "--format", "{{.SystemTime}}")
    engine.ok("exec", "box", "true")
    engine.ok("rm", "-f", "box")
    after = engine.ok("info", "--format", "{{.SystemTime}}")
    told = engine.ok(
        "events", "--since", before, "--until", after, "--filter", "type=container", "--format", "{{.Action}}"
    )
    assert told.splitlines() == [
        "exec_create: true ",
        "exec_start: true ",
        "exec_die",
        "kill",
        "die",
        "destroy",
    ]
