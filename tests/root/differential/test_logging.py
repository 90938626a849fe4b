"""Log drivers, their options, and what `docker logs` gives of them, on dockerd and on ours."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.root.differential.conftest import Same
from tests.servers.engine import Engine, UnixConnection

pytestmark = [pytest.mark.root, pytest.mark.peer]

COUNT = "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); done"


def opts(*options: str) -> list[str]:
    return [word for option in options for word in ("--log-opt", option)]


@pytest.mark.parametrize(
    "options",
    [
        # Not an unknown driver: dockerd looks 15 s for a plugin of that name. Its text is in the unit tests.
        ["--log-driver", "logentries"],
        ["--log-driver", "none", *opts("odd=1")],
        opts("odd=1"),
        ["--log-driver", "local", *opts("labels=a")],
        ["--log-driver", "journald", *opts("max-size=1")],
        opts("mode=odd"),
        opts("max-buffer-size=1m"),
        opts("mode=blocking", "max-buffer-size=1m"),
        opts("mode=non-blocking", "max-buffer-size=lots"),
        opts("mode=non-blocking", "max-buffer-size=1m"),
    ],
)
def test_what_create_says(same: Same, options: list[str]) -> None:
    same("create", "--name", "box", *options, "busybox")
    same("inspect", "-f", "{{json .HostConfig.LogConfig}}", "box")


@pytest.mark.parametrize(
    "options",
    [
        opts("max-size=big"),
        # Not max-size=5q: Debian's dockerd is built with an older go-units, whose text is another.
        opts("max-size=0"),
        opts("max-size=-1"),
        opts("max-file=0"),
        opts("max-file=x"),
        opts("compress=maybe"),
        opts("compress=true"),
        ["--log-driver", "local", *opts("max-size=big")],
        ["--log-driver", "local", *opts("max-file=x")],
        ["--log-driver", "local", *opts("max-file=-1")],
        ["--log-driver", "local", *opts("compress=maybe")],
        ["--log-driver", "local", *opts("max-file=1")],
    ],
)
def test_what_start_says(same: Same, options: list[str]) -> None:
    same("create", "--name", "box", *options, "busybox", "true")
    same("start", "box")
    same("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}", "box")


@pytest.mark.parametrize("driver", ["json-file", "local"])
def test_logs(same: Same, driver: str) -> None:
    # With pauses: dockerd reads the two streams at the same time.
    script = "echo out; sleep 0.1; echo err >&2; sleep 0.1; printf 'a\\\\b\"<ü>\\t\\033\\n'; printf partial"
    same("run", "--name", "box", "--log-driver", driver, "busybox", "sh", "-c", script)
    for options in ([], ["--tail", "2"], ["--tail", "0"], ["--since", "1h"], ["--until", "1h"], ["-f"]):
        same("logs", *options, "box")
    for options in (["-t"], ["--details"], ["-t", "--details", "--tail", "1"]):
        same("logs", *options, "box")


def test_streams_are_chosen_after_the_tail(both: tuple[Engine, Engine]) -> None:
    for engine in both:
        engine.ok(
            "run", "--name", "box", "busybox", "sh", "-c", "echo a; sleep 0.2; echo b >&2; sleep 0.2; echo c"
        )
    answers = [engine.api("GET", "/v1.44/containers/box/logs?stdout=1&tail=2") for engine in both]
    assert answers[1] == answers[0]


def test_details(same: Same) -> None:
    options = [
        *opts("labels=a", "labels-regex=^x", "env=E,F", "env-regex=^G", "tag={{.Name}}/{{.ImageName}}")
    ]
    labels = [
        "-l",
        "a=1",
        "-l",
        "b=2",
        "-l",
        "x y=3 4",
        "-l",
        "zx=5",
        "-e",
        "E=e,",
        "-e",
        "G1=ü",
        "-e",
        "H=h",
    ]
    same("run", "--name", "box", *options, *labels, "busybox", "echo", "text")
    same("logs", "--details", "box")
    same("logs", "box")


def test_the_driver_none(same: Same) -> None:
    same("run", "--name", "box", "--log-driver", "none", "busybox", "echo", "text")
    same("logs", "box")
    same("inspect", "-f", "{{json .HostConfig.LogConfig}} {{.LogPath}}", "box")


@pytest.mark.parametrize(("driver", "compress"), [("json-file", "false"), ("local", "true")])
def test_rotation(engine: Engine, driver: str, compress: str) -> None:
    options = opts("max-size=3k", "max-file=3", f"compress={compress}")
    engine.ok("run", "--name", "box", "--log-driver", driver, *options, "busybox", "sh", "-c", COUNT)
    lines = engine.ok("logs", "box").splitlines()
    assert 50 < len(lines) < 400
    assert lines == [f"line {number}" for number in range(400 - len(lines), 400)]
    assert engine.ok("logs", "--tail", "60", "box").splitlines() == lines[-60:]
    followed = engine.ok("logs", "-f", "--tail", "3", "box").splitlines()
    assert followed == lines[-3:]
    # One file, and nothing of it compressed.
    options = opts("max-size=4k", "max-file=1", "compress=false")
    engine.ok("run", "--name", "one", "--log-driver", driver, *options, "busybox", "sh", "-c", COUNT)
    lines = engine.ok("logs", "one").splitlines()
    assert lines == [f"line {number}" for number in range(400 - len(lines), 400)]


def test_following_a_container_that_rotates(engine: Engine) -> None:
    """Slowly enough that no file goes before it could be read."""
    script = "i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); [ $((i%100)) = 0 ] && sleep 0.05; done"
    options = opts("max-size=20k", "max-file=9", "compress=true")
    engine.ok("run", "-d", "--name", "box", *options, "busybox", "sh", "-c", f"sleep 0.3; {script}")
    assert engine.ok("logs", "-f", "box").splitlines() == [str(number) for number in range(2000)]


def test_non_blocking_loses_nothing_that_fits(engine: Engine) -> None:
    options = opts("mode=non-blocking", "max-buffer-size=4m")
    engine.ok("run", "--name", "box", *options, "busybox", "sh", "-c", COUNT)
    assert engine.ok("logs", "box").splitlines() == [f"line {number}" for number in range(400)]


def test_attach_with_logs(both: tuple[Engine, Engine]) -> None:
    for driver in ("json-file", "local"):
        for engine in both:
            engine.ok(
                "run",
                "-d",
                "--name",
                driver,
                "--log-driver",
                driver,
                "busybox",
                "sh",
                "-c",
                "echo a; sleep 60",
            )
            engine.wait_for(driver, "{{.State.Running}}", "true")
            while not engine.ok("logs", driver):
                pass
        path = f"/v1.44/containers/{driver}/attach?logs=1&stdout=1&stderr=1"
        answers = [engine.api("POST", path) for engine in both]
        assert answers[1] == answers[0]


def test_attach_with_logs_before_the_start(engine: Engine) -> None:
    """As docker-py does it: the stream is asked for, and the container is started at once."""
    for number in range(3):
        name = f"box{number}"
        engine.ok("create", "--name", name, "busybox", "sh", "-c", "echo all of it")
        connection = UnixConnection(engine.socket)
        path = f"/v1.44/containers/{name}/attach?logs=1&stream=1&stdout=1"
        connection.request("POST", path, None, {"Connection": "Upgrade", "Upgrade": "tcp"})
        engine.ok("start", name)
        assert b"all of it\n" in connection.sock.makefile("rb").read()
        connection.close()


def test_logs_go_on_over_restarts_and_drivers_are_shown(same: Same) -> None:
    same("run", "--name", "box", "--log-driver", "local", "busybox", "echo", "once")
    same("start", "-a", "box")
    same("logs", "box")
    same("inspect", "-f", "{{.LogPath}}", "box")
    same("info", "-f", "{{.LoggingDriver}}")


def test_the_file_is_dockers(both: tuple[Engine, Engine]) -> None:
    """Log collectors read it: the same keys in the same order."""
    shapes = []
    for engine in both:
        options = opts("labels=a", "tag=t")
        engine.ok("run", "--name", "box", "-l", "a=1", *options, "busybox", "echo", "text")
        path = Path(engine.inspect("box", "{{.LogPath}}"))
        root = Path(f"/proc/{engine.namespace.pid}/root")
        line = (path if path.exists() else root / path.relative_to("/")).read_text()
        shapes.append(list(json.loads(line).items())[:-1])
        assert os.path.basename(path) == engine.inspect("box", "{{.Id}}") + "-json.log"
    assert shapes[1] == shapes[0]
