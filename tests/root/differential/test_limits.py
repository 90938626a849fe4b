"""Limits, and what else a create body may say wrongly: refused at create, with Docker's status and words."""

from __future__ import annotations

import pytest

from tests.servers.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]

WRONG: list[dict[str, object]] = [
    {"Memory": -1},
    {"Memory": 1 << 20},
    {"MemoryReservation": 1},
    {"Memory": 20 << 20, "MemoryReservation": 30 << 20},
    {"Memory": 20 << 20, "MemorySwap": 10 << 20},
    {"ShmSize": -1},
    {"OomScoreAdj": -2000},
    {"CpusetCpus": "99"},
    {"CpusetCpus": "x"},
    {"CpuPeriod": 5},
    {"CpuQuota": 5},
    {"NanoCpus": 10**15},
    {"ExtraHosts": ["nothing"]},
    {"CapAdd": ["NOPE"]},
    {"NetworkMode": "host", "PortBindings": {"80/tcp": [{"HostPort": "18080"}]}},
]


def test_wrong_limits(both: tuple[Engine, Engine]) -> None:
    differing = []
    for host in WRONG:
        body = {"Image": "busybox", "HostConfig": host}
        theirs, ours = (engine.api("POST", "/v1.44/containers/create", body) for engine in both)
        told = [
            (
                answer.status,
                answer.message,
                answer.body.get("Warnings") if isinstance(answer.body, dict) else None,
            )
            for answer in (theirs, ours)
        ]
        if told[0] != told[1]:
            differing.append(f"{host}\n    theirs {told[0]}\n    ours   {told[1]}")
    assert not differing, "\n".join(differing)


def test_an_exec_runs_once(both: tuple[Engine, Engine]) -> None:
    told = []
    for engine in both:
        engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "60")
        made = engine.api("POST", "/v1.44/containers/box/exec", {"Cmd": ["sleep", "60"]}).body
        assert isinstance(made, dict)
        path = f"/v1.44/exec/{made['Id']}"
        first = engine.api("POST", f"{path}/start", {"Detach": True}).status
        shown = engine.api("GET", f"{path}/json").body
        assert isinstance(shown, dict)
        again = engine.api("POST", f"{path}/start", {"Detach": True})
        told.append(
            (first, sorted(shown["ProcessConfig"]), again.status, again.message.replace(made["Id"], "ID"))
        )
    assert told[0] == told[1]


def test_lines_of_one_write_have_times_of_their_own(engine: Engine) -> None:
    engine.ok("run", "--name", "box", "busybox", "printf", r"one\ntwo\nthree\n")
    second = engine.ok("logs", "-t", "box").splitlines()[1].split()[0]
    assert engine.ok("logs", "--since", second, "box") == "two\nthree"
