"""Health checks on dockerd and on ours: what is asked, where it comes from, what is seen of the results."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.root.differential.conftest import Same
from tests.servers import image
from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon
from tests.tools import need

pytestmark = [pytest.mark.root, pytest.mark.peer]

QUICK = ("--health-interval", "50ms")
STATUS = "{{.State.Health.Status}}"
STREAK = "{{.State.Health.FailingStreak}}"


def run(engine: Engine, *options: str, command: tuple[str, ...] = ("sleep", "60"), name: str = "box") -> None:
    engine.ok("run", "-d", "--name", name, *QUICK, *options, "busybox", *command)


def last(engine: Engine, name: str = "box") -> dict[str, object]:
    """The newest result."""
    entry: dict[str, object] = json.loads(engine.inspect(name, "{{json (index .State.Health.Log 0)}}"))
    return entry


@pytest.mark.parametrize(
    "fields",
    [
        {"Interval": 999_999},
        {"Timeout": 1},
        {"Retries": -1},
        {"StartPeriod": 5},
        {"StartInterval": 5},
        {"Interval": -1},
        {"Timeout": 1, "Retries": -1},
        {"StartPeriod": 5, "Retries": -1},
        {"Test": ["ODD", "true"]},
        {"Test": ["CMD"]},
    ],
)
def test_what_makes_no_sense(both: tuple[Engine, Engine], fields: dict[str, object]) -> None:
    body = {"Image": "busybox", "Cmd": ["true"], "Healthcheck": fields}
    theirs, ours = (engine.api("POST", "/v1.44/containers/create", body) for engine in both)
    assert (ours.status, ours.message) == (theirs.status, theirs.message)


def test_inherited_from_the_image(both: tuple[Engine, Engine], same: Same, tmp_path: Path) -> None:
    layer = image.busybox_layer(Path(need("busybox", "busybox-static")))
    check = {"Test": ["CMD-SHELL", "exit 3"], "Interval": 7_000_000_000, "Retries": 2, "Timeout": 1_000_000}
    path = tmp_path / "sick.tar"
    image.archive(path, ["sick:latest"], [layer], {"Cmd": ["sleep", "60"], "Healthcheck": check})
    for engine in both:
        engine.ok("load", "-i", str(path))
    for options in ([], ["--no-healthcheck"], ["--health-cmd", "true"], ["--health-retries", "9"]):
        same("create", "--name", "box", *options, "sick")
        same("inspect", "-f", "{{json .Config.Healthcheck}} {{json .State.Health}}", "box")
        same("rm", "box")


def test_it_becomes_healthy(both: tuple[Engine, Engine], same: Same) -> None:
    for engine in both:
        run(engine, "--health-cmd", "echo all well; echo odd >&2")
    for engine in both:
        engine.wait_for("box", STATUS, "healthy")
        entry = last(engine)
        assert (entry["ExitCode"], sorted(str(entry["Output"]).split("\n"))) == (0, ["", "all well", "odd"])
        assert "(healthy)" in engine.ok("ps", "--format", "{{.Status}}")
    same("ps", "--format", "{{.Names}}", "--filter", "health=healthy")
    same("ps", "--format", "{{.Names}}", "--filter", "health=none")
    for engine in both:
        deadline = time.monotonic() + 15
        while engine.inspect("box", "{{len .State.Health.Log}}") != "5":
            assert time.monotonic() < deadline
        engine.ok("kill", "box")
    # What docker leaves behind when nobody looks any more.
    same("inspect", "-f", f"{STATUS} {{{{len .State.Health.Log}}}}", "box")
    # A check that the kill cuts off says nothing of the container's health; dockerd may count it.
    theirs, ours = (engine.inspect("box", STREAK) for engine in both)
    assert ours == "0" and theirs in ("0", "1")


def test_failures_are_counted(both: tuple[Engine, Engine], same: Same) -> None:
    for engine in both:
        run(engine, "--health-cmd", "echo ill; exit 7", "--health-retries", "2")
    for engine in both:
        engine.wait_for("box", STATUS, "unhealthy")
        assert (last(engine)["ExitCode"], last(engine)["Output"]) == (7, "ill\n")
        assert "(unhealthy)" in engine.ok("ps", "--format", "{{.Status}}")


def test_events(both: tuple[Engine, Engine]) -> None:
    """The first check's, in order; a check's exec has its events as any other."""
    told = []
    for engine in both:
        before = engine.ok("info", "--format", "{{.SystemTime}}")
        run(engine, "--health-cmd", "test -e /well", "--health-retries", "1", "--health-interval", "300ms")
        engine.wait_for("box", STATUS, "unhealthy")
        engine.ok("exec", "box", "touch", "/well")
        engine.wait_for("box", STATUS, "healthy")
        now = engine.ok("info", "--format", "{{.SystemTime}}")
        template = "{{.Action}} {{.Actor.Attributes.exitCode}}"
        out = engine.ok("events", "--since", before, "--until", now, "--format", template)
        lines = [line for line in out.splitlines() if "touch" not in line]
        health = [line for line in lines if line.startswith("health_status")]
        begin = next(index for index, line in enumerate(lines) if line.startswith("start "))
        told.append((lines[begin : begin + 5], health))
    assert told[1] == told[0]


def test_a_check_that_takes_too_long(both: tuple[Engine, Engine]) -> None:
    entries = []
    for engine in both:
        run(
            engine,
            "--health-cmd",
            "echo begun; exec sleep 50",
            "--health-timeout",
            "300ms",
            "--health-retries",
            "1",
        )
    for engine in both:
        engine.wait_for("box", STATUS, "unhealthy")
        entry = last(engine)
        entries.append((entry["ExitCode"], entry["Output"]))
        engine.wait_for("box", "{{len .State.Health.Log}}", "5")
        # Those that took too long were killed: one, or none between two checks, is there.
        assert engine.ok("exec", "box", "ps").count("sleep 50") <= 1
    assert entries[1] == entries[0]


@pytest.mark.parametrize("test", [["CMD", "nosuch", "x"], ["CMD", "/etc/passwd"], ["CMD-SHELL", "nosuch"]])
def test_a_check_that_cannot_run(both: tuple[Engine, Engine], test: list[str]) -> None:
    entries = []
    body = {
        "Image": "busybox",
        "Cmd": ["sleep", "60"],
        "Healthcheck": {"Test": test, "Interval": 50_000_000, "Retries": 1},
    }
    for engine in both:
        assert engine.api("POST", "/v1.44/containers/create?name=box", body).status == 201
        engine.ok("start", "box")
        engine.wait_for("box", STATUS, "unhealthy")
        entry = last(engine)
        entries.append((entry["ExitCode"], entry["Output"]))
    assert entries[1] == entries[0]


def test_a_shell_of_its_own_and_long_output(both: tuple[Engine, Engine]) -> None:
    entries = []
    for number, (shell, line) in enumerate([(["/bin/echo", "said"], "a b"), ([], "yes | head -c 9000")]):
        check = {"Test": ["CMD-SHELL", line], "Interval": 50_000_000}
        body = {"Image": "busybox", "Cmd": ["sleep", "60"], "Shell": shell, "Healthcheck": check}
        for engine in both:
            assert engine.api("POST", f"/v1.44/containers/create?name=box{number}", body).status == 201
            engine.ok("start", f"box{number}")
            engine.wait_for(f"box{number}", STATUS, "healthy")
            entries.append(last(engine, f"box{number}")["Output"])
    assert entries[0] == entries[1] == "said a b\n"
    assert entries[2] == entries[3]
    assert len(str(entries[3])) == 4096 + len("...")


def test_the_start_period(both: tuple[Engine, Engine]) -> None:
    """Failures do not count in it, and checks come at their own interval."""
    for engine in both:
        run(
            engine, "--health-cmd", "false", "--health-start-period", "60s", "--health-start-interval", "50ms"
        )
    for engine in both:
        engine.wait_for("box", "{{len .State.Health.Log}}", "5")
        assert engine.inspect("box", f"{STATUS} {STREAK}") == "starting 0"
        assert "(health: starting)" in engine.ok("ps", "--format", "{{.Status}}")


def test_a_restart_begins_anew(engine: Engine) -> None:
    run(engine, "--health-cmd", "test ! -e /ill", "--health-retries", "1", "--restart", "always")
    engine.wait_for("box", STATUS, "healthy")
    engine.ok("exec", "box", "touch", "/ill")
    engine.wait_for("box", STATUS, "unhealthy")
    engine.ok("exec", "box", "rm", "/ill")
    engine.ok("restart", "-t", "0", "box")
    engine.wait_for("box", STATUS, "healthy")
    assert engine.inspect("box", STREAK) == "0"


def test_a_paused_container_is_not_checked(both: tuple[Engine, Engine], same: Same) -> None:
    """Docker calls it unhealthy, without an event; the next good check makes it healthy, with one."""
    for engine in both:
        run(engine, "--health-cmd", "true")
    for engine in both:
        engine.wait_for("box", STATUS, "healthy")
        engine.ok("pause", "box")
    same("inspect", "-f", f"{{{{.State.Status}}}} {STATUS} {STREAK}", "box")
    same("ps", "--format", "{{.Names}}", "--filter", "health=unhealthy")
    for engine in both:
        before = engine.inspect("box", "{{json .State.Health.Log}}")
        assert engine.ok("ps", "--format", "{{.Status}}").endswith("(Paused)")
        assert engine.inspect("box", "{{json .State.Health.Log}}") == before
        engine.ok("unpause", "box")
        engine.wait_for("box", STATUS, "healthy")


def test_the_users_rights_and_environment(both: tuple[Engine, Engine]) -> None:
    outputs = []
    for engine in both:
        check = "id; pwd; echo $A"
        options = ("-u", "www", "-w", "/var", "-e", "A=1", "--hostname", "h")
        run(engine, *options, "--health-cmd", check)
        engine.wait_for("box", STATUS, "healthy")
        outputs.append(last(engine)["Output"])
    assert outputs[1] == outputs[0]


def test_checks_go_on_with_the_next_daemon(daemon: Daemon) -> None:
    engine = daemon.engine
    run(engine, "--health-cmd", "true")
    run(engine, "--health-cmd", "sleep 55", name="slow")
    engine.wait_for("box", STATUS, "healthy")
    daemon.kill()
    daemon.start()
    engine.wait_for("box", STATUS, "healthy")
    # The check that nobody waits for any more was ended.
    deadline = time.monotonic() + 10
    while engine.ok("exec", "slow", "ps").count("sleep 55") > 1:
        assert time.monotonic() < deadline


def test_what_is_known_of_an_ended_one_outlasts_the_daemon(daemon: Daemon) -> None:
    engine = daemon.engine
    run(engine, "--health-cmd", "echo fine")
    engine.wait_for("box", STATUS, "healthy")
    engine.ok("kill", "box")
    seen = engine.inspect("box", "{{json .State.Health}}")
    daemon.kill()
    daemon.start()
    assert engine.inspect("box", "{{json .State.Health}}") == seen
