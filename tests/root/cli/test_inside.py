"""What a person looks at and changes in a container, on dockerd and on our engine."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.root.cli.pymachine import command, pymachine
from tests.servers.engine import Engine

pytestmark = pytest.mark.root


@pytest.fixture
def web(engine: Engine) -> str:
    """A container that runs."""
    engine.ok("run", "-d", "--name", "web", "-p", "18080:80", "busybox", "sleep", "600")
    return "web"


def done(engine: Engine, *args: str, stdin: bytes | None = None) -> str:
    result = pymachine(engine, *args, stdin=stdin)
    assert result.code == 0, result
    return result.out


def test_pause_and_update(engine: Engine, web: str) -> None:
    assert done(engine, "container", "pause", web) == "web\n"
    assert "(Paused)" in done(engine, "ps")
    assert done(engine, "container", "unpause", web) == "web\n"
    assert pymachine(engine, "container", "unpause", web).code == 1
    assert done(
        engine, "container", "update", "-m", "64m", "--memory-swap", "64m", "--restart", "always", web
    )
    shown = done(
        engine, "container", "inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}", web
    )
    assert shown == f"{64 << 20} always\n"
    assert "nothing to change" in pymachine(engine, "container", "update", web).err


def test_top_and_port(engine: Engine, web: str) -> None:
    assert done(engine, "container", "top", web).splitlines()[0].split()[:2] == ["UID", "PID"]
    assert "sleep 600" in done(engine, "container", "top", web, "-o", "pid,args")
    assert "80/tcp -> 0.0.0.0:18080\n" in done(engine, "container", "port", web)
    assert "0.0.0.0:18080\n" in done(engine, "container", "port", web, "80")
    assert "not published" in pymachine(engine, "container", "port", web, "81").err


def test_files_go_in_and_out(engine: Engine, web: str, tmp_path: Path) -> None:
    (tmp_path / "site" / "sub").mkdir(parents=True)
    (tmp_path / "site" / "sub" / "page").write_text("hello")
    (tmp_path / "site" / "link").symlink_to("sub/page")
    at = str(tmp_path)
    done(engine, "cp", f"{at}/site", f"{web}:/tmp")
    done(engine, "cp", f"{at}/site/.", f"{web}:/tmp/content")
    done(engine, "cp", f"{at}/site/sub/page", f"{web}:/tmp/renamed")
    found = engine.ok(
        "exec", web, "sh", "-c", "cd /tmp; find . | sort; cat site/link renamed; stat -c %u site"
    )
    assert found.split() == [
        ".",
        "./content",
        "./content/link",
        "./content/sub",
        "./content/sub/page",
        "./renamed",
        "./site",
        "./site/link",
        "./site/sub",
        "./site/sub/page",
        "hellohello0",
    ]
    done(engine, "cp", f"{web}:/tmp/site", f"{at}/back")
    assert (tmp_path / "back" / "sub" / "page").read_text() == "hello"
    assert os.readlink(tmp_path / "back" / "link") == "sub/page"
    done(engine, "cp", "-L", f"{web}:/tmp/site/link", f"{at}/page")
    assert (tmp_path / "page").read_text() == "hello"
    made = BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("empty"))
    done(engine, "cp", "-", f"{web}:/tmp/content", stdin=made.getvalue())
    assert engine.ok("exec", web, "stat", "-c", "%s", "/tmp/content/empty") == "0"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["{at}/nothing", "web:/tmp"], "there is no"),
        (["{at}/file", "web:/nowhere/"], "there is no directory web:/nowhere/"),
        (["{at}/file", "web:/nowhere/file"], "nowhere"),
        (["{at}", "web:/etc/passwd"], "over the file"),
        (["web:/nothing", "{at}"], "nothing"),
        (["web:/etc", "{at}/file"], "over the file"),
        (["ghost:/etc", "{at}"], "No such container"),
        (["{at}", "{at}/x"], "one side of cp"),
    ],
)
def test_what_cannot_be_copied_is_told(
    engine: Engine, web: str, tmp_path: Path, args: list[str], words: str
) -> None:
    (tmp_path / "file").write_text("x")
    refused = pymachine(engine, "cp", *(word.format(at=tmp_path) for word in args))
    assert refused.code != 0
    assert words in refused.err, refused


def test_changes_become_an_image(engine: Engine, web: str, tmp_path: Path) -> None:
    engine.ok("exec", web, "sh", "-c", "echo x > /new; rm /etc/group")
    changed = sorted(done(engine, "container", "diff", web).splitlines())  # dockerd has no order of its own
    assert changed == ["A /new", "C /etc", "D /etc/group"]
    image = done(engine, "container", "commit", "-c", "CMD cat /new", "-m", "why", web, "made:1").strip()
    assert image.startswith("sha256:")
    assert done(engine, "run", "--rm", "made:1") == "x\n"
    done(engine, "container", "export", "-o", str(tmp_path / "web.tar"), web)
    with tarfile.open(tmp_path / "web.tar") as archive:
        assert "new" in archive.getnames()
    engine.ok("rmi", "made:1")


def test_events_and_info(engine: Engine, web: str) -> None:
    engine.ok("rm", "-f", web)
    lines = done(
        engine, "events", "--since", "1m", "--until", "0s", "-f", "container=web", "--json"
    ).splitlines()
    actions = [json.loads(line)["Action"] for line in lines]
    assert [word for word in actions if word in ("create", "start", "die", "destroy")][-1] == "destroy"
    told = done(engine, "events", "--since", "1m", "--until", "0s", "-f", "container=web").splitlines()
    assert " container destroy " in told[-1]
    assert "engine" in done(engine, "info")
    assert int(done(engine, "info", "-f", "{{.NCPU}}")) > 0


def test_stats(engine: Engine, web: str) -> None:
    head, line = done(engine, "stats", "--no-stream").splitlines()
    assert head.split()[:3] == ["CONTAINER", "ID", "NAME"]
    assert line.split()[1] == web
    engine.ok("stop", "-t", "0", web)
    (record,) = done(engine, "stats", "--no-stream", "--json", web).splitlines()
    assert json.loads(record)["CPUPerc"] == "--"
    assert "No such container" in pymachine(engine, "stats", "ghost").err


def test_stats_go_on_until_it_is_gone(engine: Engine, web: str) -> None:
    """Each table is complete, and the command ends with the container that it was asked about."""
    with subprocess.Popen(
        command(engine, "stats", "--format", "{{.Name}} {{.PIDs}}", web),
        stdout=subprocess.PIPE,
        env=engine.environment,
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == [b"web 1\n"] * 2
        engine.ok("rm", "-f", web)
        process.communicate(timeout=20)
    assert process.returncode == 0


def test_disk_and_prune(engine: Engine, web: str) -> None:
    rows = [line.split() for line in done(engine, "system", "df").splitlines()]
    assert rows[0] == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    assert rows[2][:3] == ["Containers", "1", "1"]
    assert "nobody to ask" in pymachine(engine, "container", "prune").err
    assert done(engine, "container", "prune", "-f") == ""
    engine.ok("stop", "-t", "0", web)
    assert len(done(engine, "container", "prune", "-f")) == 65
    assert pymachine(engine, "builder", "prune", "-f").code == 0
