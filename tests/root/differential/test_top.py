"""`docker top`: titles, rows and errors. PIDs and times differ between two runs, the rest does not."""

from __future__ import annotations

import re

import pytest

from tests.root.differential.conftest import Same
from tests.servers.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]

ARGUMENTS = (
    (),
    ("-o", "pid,comm,args"),
    ("-o", "comm,pid"),
    ("aux",),
    ("-eo", "user,pid,args"),
    ("-o", "comm"),
    ("-o", "pid,comm=PID"),
    ("-o", "pid=PID,comm"),
    ("-eLf",),
    ("-e", "m"),
    ("fax",),
    ("--nonsense",),
    ("-Q",),
)


def neutral(text: str) -> str:
    """Without numbers and branches (dockerd's shims stand deeper), and with one blank between columns."""
    lines = re.sub(r"[|\\_]", "", re.sub(r"\b[A-Z][a-z]{2}\d\d\b|\d+", "#", text)).splitlines()
    return "\n".join(" ".join(line.split()) for line in lines)


def test_tables(both: tuple[Engine, Engine]) -> None:
    for engine in both:
        engine.ok("run", "-d", "--name", "box", "busybox", "sh", "-c", "sleep 61 & sleep  62; true")
        engine.ok("exec", "-d", "-u", "1234", "box", "sleep", "63")
    for arguments in ARGUMENTS:
        told = []
        for engine in both:
            done = engine.docker("top", "box", *arguments)
            told.append((done.code, *(neutral(text) for text in (done.out, done.err))))
        assert told[0] == told[1], arguments
    pids = both[1].ok("top", "box", "-o", "pid").split()[1:]
    assert both[1].inspect("box", "{{.State.Pid}}") in pids
    assert len(pids) == 4


def test_not_running(same: Same) -> None:
    same("create", "--name", "box", "busybox")
    same("top", "box")
    same("top", "box", "-o", "pid,comm=PID")
    same("top", "ghost")
