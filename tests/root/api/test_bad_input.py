"""Create bodies mutated field by field with wrong types and values: dockerd's status code, and nothing left.

Every field of Config and HostConfig in tests/data/api meets every value of VALUES. Where our status is another one on
purpose, tests/data/api/differences.json says so, with the reason.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

import pytest

from tests.servers.engine import Engine
from tests.shapes.tables import FOLDER, tables

pytestmark = [pytest.mark.root, pytest.mark.peer]

SEED = 3
QUICK = 60
VALUES: dict[str, object] = {
    "null": None,
    "true": True,
    "zero": 0,
    "one": 1,
    "negative": -1,
    "float": 1.5,
    "exponent": 1e30,
    "int64": (1 << 63) - 1,
    "beyond": 1 << 63,
    "empty string": "",
    "word": "x",
    "nul": "a\0b",
    "path": "../../x",
    "long": "x" * 5000,
    "empty list": [],
    "list of null": [None],
    "list of one": [1],
    "list of words": ["x"],
    "empty object": {},
    "object of words": {"x": "y"},
    "object of objects": {"x": {"y": 1}},
}


@dataclass(frozen=True)
class Case:
    """One field with one value."""

    field: str
    value: str

    @property
    def name(self) -> str:
        return f"{self.field}: {self.value}"

    def body(self) -> dict[str, object]:
        body: dict[str, object] = {"Image": "busybox", "Cmd": ["true"]}
        place, _, field = self.field.rpartition(".")
        mutated = {field: VALUES[self.value]}
        return body | ({place: mutated} if place else mutated)


def cases() -> list[Case]:
    """All of them, always in the same order."""
    fields = [field.name for field in tables().types["Config"]] + ["HostConfig", "NetworkingConfig"]
    fields += [f"HostConfig.{field.name}" for field in tables().types["HostConfig"]]
    return [Case(field, value) for field in fields for value in VALUES]


def status(engine: Engine, case: Case) -> tuple[int, str]:
    """What a create answers; what it made is gone again."""
    answer = engine.api("POST", "/v1.44/containers/create", case.body())
    if isinstance(answer.body, dict) and (made := answer.body.get("Id")):
        assert engine.api("DELETE", f"/containers/{made}?v=1").status == 204
    return answer.status, answer.message


def allowed() -> list[dict[str, str]]:
    """`case`: a glob over "field: value"; `codes`: their status and ours; `why`."""
    differences: list[dict[str, str]] = json.loads((FOLDER.parent / "differences.json").read_text())
    return differences


def compare(both: tuple[Engine, Engine], chosen: list[Case]) -> Iterator[str]:
    """A line for each case in which we differ without saying so."""
    listed = allowed()
    for case in chosen:
        (theirs, said), (ours, words) = (status(engine, case) for engine in both)
        codes = f"{theirs} {ours}"
        if theirs != ours and not any(
            fnmatchcase(case.name, each["case"]) and each["codes"] == codes for each in listed
        ):
            yield f"{case.name}: theirs {theirs} {said[:150]!r}, ours {ours} {words[:150]!r}"


EXEC = ("User", "Privileged", "Tty", "ConsoleSize", "AttachStdin", "AttachStderr", "AttachStdout", "Detach")
EXEC_MORE = ("DetachKeys", "Env", "WorkingDir", "Cmd")


def compare_execs(both: tuple[Engine, Engine]) -> Iterator[str]:
    """The same for the body of an exec."""
    listed = allowed()
    for case in (Case(field, value) for field in (*EXEC, *EXEC_MORE) for value in VALUES):
        body = {"Cmd": ["true"], case.field: VALUES[case.value]}
        theirs, ours = (engine.api("POST", "/v1.44/containers/box/exec", body) for engine in both)
        codes = f"{theirs.status} {ours.status}"
        if theirs.status != ours.status and not any(
            fnmatchcase(f"exec {case.name}", each["case"]) and each["codes"] == codes for each in listed
        ):
            yield f"exec {case.name}: theirs {theirs}, ours {ours}"[:400]


def test_fields_of_an_exec(both: tuple[Engine, Engine]) -> None:
    for engine in both:
        engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "600")
    differing = list(compare_execs(both))
    assert not differing, "\n".join(differing)


UPDATE = (
    "CpuShares",
    "Memory",
    "NanoCpus",
    "CpusetCpus",
    "PidsLimit",
    "MemorySwap",
    "RestartPolicy",
    "KernelMemory",
)


def test_fields_of_an_update(both: tuple[Engine, Engine]) -> None:
    """Of a container that does not run: only what is asked counts, not what the host makes of it."""
    listed, differing = allowed(), []
    for engine in both:
        engine.ok("create", "--name", "box", "busybox")
    for case in (Case(field, value) for field in UPDATE for value in VALUES):
        theirs, ours = (
            engine.api("POST", "/v1.44/containers/box/update", {case.field: VALUES[case.value]})
            for engine in both
        )
        codes = f"{theirs.status} {ours.status}"
        if theirs.status != ours.status and not any(
            fnmatchcase(f"update {case.name}", each["case"]) and each["codes"] == codes for each in listed
        ):
            differing.append(f"update {case.name}: theirs {theirs}, ours {ours}"[:400])
    assert not differing, "\n".join(differing)


def nothing_left(both: tuple[Engine, Engine]) -> None:
    for engine in both:
        assert engine.api("GET", "/containers/json?all=1").body == [], engine.name


def test_some_fields(both: tuple[Engine, Engine]) -> None:
    chosen = random.Random(SEED).sample(cases(), QUICK)
    differing = list(compare(both, chosen))
    assert not differing, "\n".join(differing)
    nothing_left(both)


@pytest.mark.long
def test_all_fields(both: tuple[Engine, Engine]) -> None:
    differing = list(compare(both, cases()))
    assert not differing, "\n".join(differing)
    nothing_left(both)
