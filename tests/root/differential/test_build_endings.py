"""How builds end, and what of them is found again: cancelled, killed, failed; the cache; the same image everywhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.cgroups import processes
from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon, hostagent
from tests.servers.namespace import command_line

pytestmark = pytest.mark.root

SLEEP = "7654.25"
HIT = re.compile(r" : (?:COPY|RUN) .*\n ---> Using cache")
LONG = f"FROM busybox\nRUN echo before > /f\nRUN sleep {SLEEP}\n"


def sleepers(daemon: Daemon) -> list[int]:
    return [pid for pid in processes(daemon.parent) if SLEEP in command_line(pid)]


def wait_for(daemon: Daemon, running: bool) -> None:
    deadline = time.monotonic() + 20
    while bool(sleepers(daemon)) != running:
        assert time.monotonic() < deadline, f"the step's process: {sleepers(daemon)}"
        time.sleep(0.05)


def scratch(daemon: Daemon) -> list[str]:
    """What is half made on disk."""
    return os.listdir(daemon.containers.parent / "tmp")


def wait_until_clean(daemon: Daemon) -> None:
    deadline = time.monotonic() + 20
    while left := scratch(daemon):
        assert time.monotonic() < deadline, f"left on disk: {left}"
        time.sleep(0.05)


@contextmanager
def long_build(daemon: Daemon) -> Iterator[subprocess.Popen[bytes]]:
    """A build that is in its last step, without end."""
    context = daemon.engine.share / "context"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir()
    (context / "Dockerfile").write_text(LONG)
    client = daemon.engine.start("build", str(context))
    try:
        wait_for(daemon, running=True)
        yield client
    finally:
        client.kill()
        client.communicate()


def test_a_client_that_goes_away_ends_its_build(daemon: Daemon) -> None:
    with long_build(daemon) as client:
        client.send_signal(signal.SIGKILL)
        wait_for(daemon, running=False)
    wait_until_clean(daemon)


def test_a_daemon_killed_in_a_build_leaves_nothing(daemon: Daemon) -> None:
    with long_build(daemon):
        daemon.kill()
    daemon.start()
    wait_for(daemon, running=False)
    wait_until_clean(daemon)
    assert daemon.residue() == []
    daemon.engine.ok("build", "-", stdin="FROM busybox\nRUN echo again > /f\n")


def test_a_failure_leaves_nothing_but_what_came_before(daemon: Daemon) -> None:
    engine = daemon.engine
    images = engine.ok("images", "-aq")
    text = "FROM busybox\nRUN echo kept > /kept\nRUN exit 3\n"
    assert engine.docker("build", "-", stdin=text).code == 3
    assert (engine.ok("images", "-aq"), scratch(daemon)) == (images, [])
    assert engine.docker("build", "-", stdin=text).out.count("Using cache") == 1


def test_the_cache_hits_where_dockerd_does(both: tuple[Engine, Engine]) -> None:
    """After a change of content, mode, name, time; of an argument's value; of nothing."""
    told: list[list[int]] = []
    for engine in both:
        context = engine.share / "context"
        shutil.rmtree(context, ignore_errors=True)
        (context / "d").mkdir(parents=True)
        file = context / "d" / "f"
        file.write_text("1")
        text = "FROM busybox\nARG A\nCOPY d /d\nCOPY d/f /f\nRUN echo $A > /a\n"
        (context / "Dockerfile").write_text(text)

        def hits(*options: str, context: Path = context, engine: Engine = engine) -> int:
            return len(HIT.findall(engine.ok("build", *options, str(context))))

        counts = [hits(), hits()]
        os.utime(file, (1, 1))
        counts.append(hits())
        file.chmod(0o755)
        counts += [hits(), hits()]
        file.write_text("2")
        counts += [hits(), hits(), hits("--build-arg", "A=1"), hits("--build-arg", "A=1"), hits("--no-cache")]
        file.rename(context / "d" / "g")
        (context / "d" / "f").symlink_to("g")
        counts += [hits(), hits("--no-cache")]
        told.append(counts)
    assert told[1] == told[0]


def test_two_daemons_make_the_same_image(daemon: Daemon, docker_cli: Path, busybox_tar: Path) -> None:
    text = (
        "FROM busybox AS one\nRUN mkdir /d && echo 1 > /d/f && ln /d/f /d/g && touch /d/h\n"
        "FROM busybox\nCOPY --from=one /d /copied\nCOPY <<EOF /text\nhere\nEOF\nWORKDIR /new/dir\n"
        "RUN --mount=type=cache,target=/c date > /c/now; echo 2 > /two\nENV A=1\n"
    )
    with hostagent(docker_cli) as other:
        other.engine.ok("load", "-i", str(busybox_tar))
        made = [
            engine.ok(
                "build", "-q", "--build-arg", "SOURCE_DATE_EPOCH=1700000000", "-", stdin=text
            ).splitlines()[-1]
            for engine in (daemon.engine, other.engine)
        ]
    assert made[0] == made[1]
    created = daemon.engine.ok("image", "inspect", "-f", "{{.Created}}", made[0])
    assert created.startswith("2023-11-14T22:13:20")


def test_the_cache_has_a_limit(docker_cli: Path, busybox_tar: Path, tmp_path: Path) -> None:
    """The steps that were not used for longest go, and none that an image is made of."""
    text = "FROM busybox\nRUN dd if=/dev/zero of=/{0} bs=1M count=2 2>/dev/null && echo {0} >> /{0}\n"
    config = tmp_path / "daemon.json"
    config.write_text(json.dumps({"builder": {"gc": {"defaultKeepStorage": "5MB"}}}))
    with hostagent(docker_cli, "--config", str(config)) as daemon:
        engine = daemon.engine
        engine.ok("load", "-i", str(busybox_tar))
        for name in "abcd":
            image = engine.ok("build", "-q", "-", stdin=text.format(name)).splitlines()[-1]
            if name != "b":
                engine.ok("rmi", image)
        hits = {name: "Using cache" in engine.ok("build", "-", stdin=text.format(name)) for name in "bdca"}
    assert hits == {"a": False, "b": True, "c": True, "d": True}
