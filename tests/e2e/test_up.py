"""`pymachine up`: a machine, a compose project on it, and nothing left at the end."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.machine import laptop
from tests.peers import tree
from tests.tools import need

_PROJECT = """\
services:
  dep: {build: ., command: [sleep, "1000"], init: true}
  job: {build: ., command: [sh, -c, "echo did it; exit 5"], depends_on: [dep]}
"""
_DOCKERFILE = "FROM scratch\nCOPY busybox /bin/sh\nCOPY busybox /bin/sleep\nENV PATH=/bin\n"


@pytest.mark.parametrize(
    "limit",
    [
        pytest.param([], id="until-it-ends"),
        pytest.param(["--ttl", "100ms"], id="until-its-time-is-over", marks=pytest.mark.long),
    ],
)
def test_the_machine_goes_with_the_project(limit: list[str]) -> None:
    tree.compose_v1()
    with laptop() as made:
        _write(made.home)
        file = str(made.home / "compose.yml")
        done = made.pymachine("up", *limit, "-f", file, "demo", "--exit-code-from", "job")
        assert made.ok("ls", "-q") == "", done
        if limit:
            assert "its time is over" in done.err
        else:
            assert (done.code, "did it" in done.out) == (5, True), done


def test_a_machine_that_was_there_stays() -> None:
    with laptop() as made:
        (made.home / "machines" / "mine").mkdir(parents=True)
        done = made.pymachine("up", "-f", "x.yml", "mine")
        assert (done.code, "is there already" in done.err) == (1, True), done
        shutil.rmtree(made.home / "machines" / "mine")


def _write(home: Path) -> None:
    (home / "compose.yml").write_text(_PROJECT)
    (home / "Dockerfile").write_text(_DOCKERFILE)
    shutil.copy(need("busybox", "busybox-static"), home / "busybox")
