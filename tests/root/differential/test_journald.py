"""`--log-driver journald` with a real journal. dockerd's side is read from its source: its tree here has no journal."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon

pytestmark = [pytest.mark.root]

JOURNALD = Path("/lib/systemd/systemd-journald")
FOLDERS = ("/run/systemd", "/run/log")


@pytest.fixture
def journal(daemon: Daemon) -> Iterator[Engine]:
    """Our engine, with a journal of its own in its namespaces."""
    if not JOURNALD.exists():
        pytest.fail("no systemd-journald: apt-get install systemd")
    inside = daemon.engine.namespace
    for folder in FOLDERS:
        Path(folder).mkdir(exist_ok=True)
        inside.run(["mount", "-t", "tmpfs", "tmpfs", folder])
        inside.run(["mkdir", f"{folder}/journal"])
    server = subprocess.Popen(
        inside.command([str(JOURNALD)]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 10
        while (
            inside.run(["sh", "-c", "test -S /run/systemd/journal/socket && echo yes || true"]).stdout == ""
        ):
            assert time.monotonic() < deadline, "journald does not listen"
            time.sleep(0.05)
        yield daemon.engine
    finally:
        daemon.engine.clean()
        inside.run(
            ["sh", "-c", "kill $(cat /proc/[0-9]*/stat | sed -n 's/^\\([0-9]*\\) (systemd-journal.*/\\1/p')"]
        )
        server.wait(10)
        for folder in FOLDERS:
            inside.run(["umount", folder])


def messages(engine: Engine, name: str) -> list[dict[str, object]]:
    match = f"CONTAINER_NAME={name}"
    out = engine.namespace.run(["journalctl", "-o", "json", "--all", "--no-pager", match]).stdout
    return [json.loads(line) for line in out.splitlines()]


def test_what_is_in_the_journal_and_what_logs_gives(journal: Engine) -> None:
    options = [
        "--log-driver",
        "journald",
        "--log-opt",
        "tag={{.Name}}!",
        "--log-opt",
        "labels=a.b",
        "-l",
        "a.b=c",
    ]
    script = "echo out; sleep 0.1; echo err >&2; sleep 0.1; head -c 40000 /dev/zero | tr '\\0' x; echo"
    journal.ok("run", "--name", "box", *options, "busybox", "sh", "-c", script)
    identity = journal.inspect("box", "{{.Id}}")
    found = messages(journal, "box")
    assert [entry["PRIORITY"] for entry in found] == ["6", "3", "6", "6", "6"]
    expected = {
        "MESSAGE": "out",
        "CONTAINER_ID": identity[:12],
        "CONTAINER_ID_FULL": identity,
        "CONTAINER_NAME": "box",
        "CONTAINER_TAG": "box!",
        "SYSLOG_IDENTIFIER": "box!",
        "IMAGE_NAME": "busybox",
        "A_B": "c",
    }
    assert expected.items() <= found[0].items()
    assert [entry.get("CONTAINER_PARTIAL_MESSAGE") for entry in found] == [None, None, "true", "true", None]
    assert [entry.get("CONTAINER_PARTIAL_LAST") for entry in found[2:]] == ["false", "false", "true"]
    assert len({entry["CONTAINER_PARTIAL_ID"] for entry in found[2:]}) == 1
    assert journal.ok("logs", "box").splitlines() == ["out", "x" * 40000]
    assert journal.docker("logs", "box").err == "err\n"
    assert journal.ok("logs", "--details", "--tail", "5", "box").startswith("A_B=c out\n")
    assert journal.ok("logs", "--tail", "1", "box").splitlines() == ["x" * (40000 - 2 * 16384)]


def test_following_and_non_blocking(journal: Engine) -> None:
    script = "i=0; while [ $i -lt 20 ]; do echo $i; i=$((i+1)); sleep 0.02; done"
    for mode in ("blocking", "non-blocking"):
        options = ["--log-driver", "journald", "--log-opt", f"mode={mode}"]
        journal.ok("run", "-d", "--name", mode, *options, "busybox", "sh", "-c", script)
        assert journal.ok("logs", "-f", mode).splitlines() == [str(number) for number in range(20)]


def test_labels_that_are_too_much(journal: Engine) -> None:
    body = {
        "Image": "busybox",
        "Labels": {"big": "y" * 300_000},
        "Cmd": ["true"],
        "HostConfig": {"LogConfig": {"Type": "journald", "Config": {"labels": "big"}}},
    }
    assert journal.api("POST", "/v1.44/containers/create?name=big", body).status == 201
    answer = journal.api("POST", "/v1.44/containers/big/start")
    assert (answer.status, "labels" in answer.message) == (500, True)


def test_a_host_without_a_journal(daemon: Daemon) -> None:
    done = daemon.engine.docker("run", "--log-driver", "journald", "busybox", "true")
    assert done.code == 125
    assert "failed to initialize logging driver: journald is not enabled on this host" in done.err
