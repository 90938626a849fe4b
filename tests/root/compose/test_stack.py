"""examples/stack as it stands there: Compose 1.29 brings it up, Compose v2 finds its data again."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.peers import tree
from tests.root.cli.pymachine import pymachine
from tests.root.compose.conftest import Compose, Project
from tests.servers.debian import stack_tar
from tests.servers.hostagent import Daemon

pytestmark = pytest.mark.root

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "stack"
_ENVIRONMENT = {"BASE": "stack-base"}
_ASK = """\
import sys, urllib.request
body = sys.argv[2].encode() if len(sys.argv) > 2 else None
print(urllib.request.urlopen("http://127.0.0.1:8080" + sys.argv[1], body, timeout=20).read().decode(), end="")
"""

Open = Callable[[Compose], Project]


@pytest.fixture
def stack(daemon: Daemon) -> Iterator[Open]:
    """The example, in a folder that the engine sees, with images that begin with Debian's packages."""
    folder = daemon.engine.share / "stack"
    shutil.copytree(EXAMPLE, folder)
    daemon.engine.ok("import", str(stack_tar()), "stack-base", timeout=120)
    yield lambda client: Project(daemon.engine, client, folder, _ENVIRONMENT)
    project = Project(daemon.engine, Compose("v2", tree.compose_v2(), "-"), folder, _ENVIRONMENT)
    project.run("down", "-v", "-t", "1")
    shutil.rmtree(folder)


def ask(project: Project, path: str, note: str | None = None) -> str:
    """The page on the published port, from the host; with a note, which is added."""
    words = [sys.executable, "-c", _ASK, path, *([note] if note else [])]
    return project.engine.namespace.run(words).stdout


def test_it_keeps_its_data_and_both_composes_know_it(stack: Open) -> None:
    old = stack(Compose("v1", tree.compose_v1(), "_"))
    old.ok("up", "-d", "--build")
    old.engine.wait_for("stack_web_1", "{{.State.Health.Status}}", "healthy", 30)
    assert ask(old, "/visit", "made by v1") == "visits: 1\nmade by v1\n"
    old.ok("down")

    new = stack(Compose("v2", tree.compose_v2(), "-"))
    new.ok("up", "-d", "--wait")
    assert ask(new, "/visit", "made by v2") == "visits: 2\nmade by v1\nmade by v2\n"
    assert new.run("exec", "-T", "web", "id", "-un").out == "nobody\n"
    new.ok("down")

    new.ok("up", "-d", "--wait")
    assert ask(new, "/") == "visits: 2\nmade by v1\nmade by v2\n"


def test_pymachine_compose(daemon: Daemon) -> None:
    """The installed one, on the machine's engine, from the folder where the user is."""
    done = pymachine(daemon.engine, "compose", "-f", str(EXAMPLE / "compose.yml"), "config", "--services")
    assert (done.code, sorted(done.out.split())) == (0, ["cache", "db", "web"])
    listed = pymachine(daemon.engine, "compose", "-f", str(EXAMPLE / "compose.yml"), "ps", "-q")
    assert (listed.code, listed.out) == (0, "")
