"""`pymachine volume`, on dockerd and on our engine."""

from __future__ import annotations

import json

import pytest

from tests.root.cli.pymachine import pymachine
from tests.servers.engine import Engine

pytestmark = pytest.mark.root


def test_the_life_of_a_volume(engine: Engine) -> None:
    made = pymachine(engine, "volume", "create", "-l", "a=b", "data")
    assert (made.code, made.out) == (0, "data\n")
    listed = pymachine(engine, "volume", "ls", "--format", "{{.Driver}} {{.Name}} {{.Labels}}")
    assert listed.out == "local data a=b\n"
    assert pymachine(engine, "volume", "ls", "-q", "-f", "label=c").out == ""
    pymachine(engine, "run", "--rm", "-v", "data:/x", "busybox", "sh", "-c", "echo hello > /x/file")
    mount = "type=volume,source=data,target=/y,readonly"
    again = pymachine(engine, "run", "--rm", "--mount", mount, "busybox", "cat", "/y/file")
    assert again.out == "hello\n"
    (seen,) = json.loads(pymachine(engine, "volume", "inspect", "data").out)
    assert (seen["Name"], seen["Labels"]) == ("data", {"a": "b"})
    engine.ok("create", "--name", "holder", "-v", "data:/x", "busybox")
    held = pymachine(engine, "volume", "rm", "data")
    assert (held.code, "volume is in use" in held.err) == (1, True)
    engine.ok("rm", "holder")
    gone = pymachine(engine, "volume", "rm", "data", "missing")
    assert (gone.code, gone.out, "get missing: no such volume" in gone.err) == (1, "data\n", True)


def test_prune_asks(engine: Engine) -> None:
    engine.ok("volume", "create", "kept")
    engine.ok("volume", "create")
    refused = pymachine(engine, "volume", "prune")
    assert (refused.code, "pymachine volume prune --yes" in refused.err) == (2, True)
    done = pymachine(engine, "volume", "prune", "--yes")
    assert (done.code, len(done.out), "reclaimed" in done.err) == (0, 65, True)
    assert pymachine(engine, "volume", "ls", "-q").out == "kept\n"
    assert pymachine(engine, "volume", "prune", "-y", "--all").out == "kept\n"
