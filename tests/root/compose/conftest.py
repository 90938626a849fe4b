"""Compose's real clients, 1.29 and v2, on dockerd and on ours."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.peers import tree
from tests.servers.engine import Engine, Result

_VARYING = (
    (re.compile(r"\x1b\[[0-9;]*[A-Za-z]"), ""),  # lines that are drawn anew when they change
    (re.compile(r"\b[0-9a-f]{64}\b"), "ID64"),
    (re.compile(r"(?<![0-9a-z])[0-9a-f]{12}(?![0-9a-z])"), "ID12"),
    (re.compile(r"\b(172|192\.168)\.[\d.]+\b"), "ADDRESS"),
    (re.compile(r"\b327\d\d\b"), "PORT"),
    (re.compile(r"\b\d+(\.\d+)?m?s\b"), "TIME"),
    (re.compile(r"\b(\d+|a|an) (second|minute)s?\b|Less than a second", re.I), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)"), "TIME"),
    (re.compile(r"(, ?)?(:::|\[::\]:)\w+->\d+/tcp"), ""),  # published on IPv6
    (re.compile(r"-{9,}"), "----"),
    (re.compile(r"[ \t]+"), " "),
)


@dataclass(frozen=True)
class Compose:
    """One of the two clients; `separator` is between the parts of the names that it gives."""

    name: str
    binary: Path
    separator: str

    def container(self, service: str, number: int = 1) -> str:
        return self.separator.join((PROJECT, service, str(number)))


PROJECT = "shop"


@dataclass(frozen=True)
class Project:
    """A folder with a compose file that one engine sees."""

    engine: Engine
    client: Compose
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *argv: str) -> Result:
        """Any exit code."""
        done = subprocess.run(
            [str(self.client.binary), *argv],
            cwd=self.folder,
            env=self.engine.environment | {"DOCKER_BUILDKIT": "0"} | dict(self.environment),
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=60,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def ok(self, *argv: str) -> str:
        result = self.run(*argv)
        assert result.code == 0, f"{self.client.name} {argv}: exit {result.code}\n{result.out}{result.err}"
        return result.out

    def neutral(self, text: str) -> str:
        text = text.replace(str(self.engine.share), "SHARE")
        for pattern, instead in _VARYING:
            text = pattern.sub(instead, text)
        return "\n".join(line.rstrip() for line in text.splitlines())


@pytest.fixture(params=["v1", "v2"])
def client(request: pytest.FixtureRequest) -> Compose:
    if request.param == "v1":
        return Compose("v1", tree.compose_v1(), "_")
    return Compose("v2", tree.compose_v2(), "-")


Files = Mapping[str, str]
Open = Callable[[Files], "Pair"]


class Pair:
    """The same project on dockerd and on ours; every command runs on both and must come to the same."""

    def __init__(self, theirs: Project, ours: Project) -> None:
        self.theirs, self.ours = theirs, ours

    def each(self) -> tuple[Project, Project]:
        return self.theirs, self.ours

    def same(self, *argv: str) -> str:
        """One outcome: exit code, output, and, as threads print it, the lines of stderr; gives the output."""
        with ThreadPoolExecutor(2) as pool:
            results = [*pool.map(lambda project: project.run(*argv), self.each())]
        theirs, ours = (
            (done.code, project.neutral(done.out), sorted({*project.neutral(done.err).splitlines()}))
            for project, done in zip(self.each(), results, strict=True)
        )
        assert ours == theirs, (self.ours.client.name, argv)
        return ours[1]

    def down(self) -> None:
        for project in self.each():
            project.run("down", "-v", "-t", "0", "--remove-orphans")


@pytest.fixture
def pair(both: tuple[Engine, Engine], client: Compose) -> Iterator[Open]:
    """Opens a project of these files on both engines; it is taken down after the test."""
    opened: list[Pair] = []

    def open_(files: Files) -> Pair:
        projects = []
        for engine in both:
            folder = engine.share / PROJECT
            for name, text in files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            projects.append(Project(engine, client, folder))
        opened.append(Pair(projects[0], projects[1]))
        return opened[-1]

    yield open_
    for each in opened:
        each.down()
        for project in each.each():
            shutil.rmtree(project.folder)
