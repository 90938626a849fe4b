"""The file system of the engine's root is full: it says so, goes on, loses nothing, and is itself again with space."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.hostagent import Daemon, hostagent

FILL = "echo begun; dd if=/dev/zero of=/fill bs=64k; dd if=/dev/zero of=/rest bs=4k; echo full; sleep 1000"


@pytest.fixture
def daemon(docker_cli: Path, busybox_tar: Path) -> Iterator[Daemon]:
    """On a root of 48 MB."""
    with hostagent(docker_cli) as made:
        made.stop()
        root = str(made.containers.parent)
        made.engine.namespace.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=711", "small", root])
        made.start()
        made.engine.ok("load", "-i", str(busybox_tar))
        yield made
        made.ensure()
        made.engine.clean()


def fill(daemon: Daemon) -> None:
    """A container that runs and has taken all the space."""
    daemon.engine.ok("run", "-d", "--name", "filler", "busybox", "sh", "-c", FILL)
    deadline = time.monotonic() + 20
    root = str(daemon.containers.parent)
    while daemon.engine.namespace.run(["df", "--output=avail", root]).stdout.split()[-1] != "0":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_full(daemon: Daemon) -> None:
    engine = daemon.engine
    engine.ok(
        "run", "-d", "--name", "ending", "busybox", "sh", "-c", "read x < /dev/zero; sleep 1000", timeout=20
    )
    engine.ok(
        "run",
        "-d",
        "--name",
        "seven",
        "busybox",
        "sh",
        "-c",
        "trap 'exit 7' TERM; while true; do sleep 0.1; done",
    )
    engine.ok("create", "--name", "made", "busybox", "true")
    fill(daemon)
    # What needs no space works.
    assert engine.ok("exec", "seven", "echo", "hi") == "hi"
    assert len(engine.ok("ps", "-aq").split()) == 4
    # What needs space is refused with the reason, and leaves nothing.
    for words in (("create", "busybox"), ("run", "-d", "busybox", "sleep", "1"), ("start", "made")):
        refused = engine.docker(*words)
        assert refused.code != 0, words
        assert "space" in refused.err, refused.err
    assert len(engine.ok("ps", "-aq").split()) == 4
    # Ends are recorded truly, also over a daemon that is killed then.
    engine.ok("stop", "seven")
    assert engine.inspect("seven", "{{.State.Status}} {{.State.ExitCode}}") == "exited 7"
    daemon.kill()
    daemon.start()
    assert engine.inspect("seven", "{{.State.Status}} {{.State.ExitCode}}") == "exited 7"
    assert engine.inspect("filler", "{{.State.Running}}") == "true"
    daemon.kill()
    engine.namespace.run(["pkill", "-KILL", "-f", "sleep 1000"])
    daemon.start()
    assert engine.inspect("filler", "{{.State.Status}}") == "exited"
    # With space it is itself again.
    engine.ok("rm", "filler")
    assert engine.ok("start", "-a", "made") == ""
    assert engine.docker("run", "--rm", "busybox", "sh", "-c", "exit 4").code == 4
    daemon.kill()
    daemon.start()
    assert engine.inspect("seven", "{{.State.Status}} {{.State.ExitCode}}") == "exited 7"
    engine.ok("rm", "-f", "seven", "made", "ending")
    assert daemon.residue() == [f"mount {daemon.containers.parent}"]
