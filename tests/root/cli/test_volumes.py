"""`pymachine volume`, on dockerd and on our engine."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.root.cli.pymachine import pymachine
from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon

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


def test_export_and_import(daemon: Daemon, tmp_path: Path) -> None:
    """What one volume has, with its owners, links and attributes, another one gets."""
    engine = daemon.engine
    fill = "cd /x; chmod 700 .; chown 33:50 .; echo hello > a; ln a hard; ln -s /etc/passwd soft; mkfifo pipe; mkdir d"
    engine.ok(
        "run",
        "--rm",
        "-v",
        "data:/x",
        "busybox",
        "sh",
        "-c",
        f"{fill}; chown 33 a; chmod 4640 a; chmod 1777 d",
    )
    mountpoint = Path(engine.ok("volume", "inspect", "-f", "{{.Mountpoint}}", "data"))
    os.setxattr(mountpoint / "a", "user.kind", b"example")
    os.utime(mountpoint / "a", ns=(1, 1_600_000_000_123_456_789))
    archive = tmp_path / "data.tar"
    assert pymachine(engine, "volume", "export", "-o", str(archive), "data").code == 0
    made = pymachine(engine, "volume", "import", "-", "copy", stdin=archive.read_bytes())
    assert (made.code, made.out) == (0, "copy\n"), made.err
    copy = Path(engine.ok("volume", "inspect", "-f", "{{.Mountpoint}}", "copy"))
    listing = ["find", ".", "-printf", "%p %M %n %U:%G %s %T@ %l\n"]
    seen = [
        sorted(
            subprocess.run(listing, cwd=path, capture_output=True, text=True, check=True).stdout.splitlines()
        )
        for path in (mountpoint, copy)
    ]
    assert seen[1] == seen[0]
    assert (copy.stat().st_mode, copy.stat().st_uid, copy.stat().st_gid) == (0o40700, 33, 50)
    assert os.getxattr(copy / "a", "user.kind") == b"example"
    again = pymachine(engine, "volume", "import", str(archive), "copy")
    assert (again.code, "the volume copy has files" in again.err) == (1, True)


def test_what_cannot_be_exported_and_imported(daemon: Daemon, tmp_path: Path) -> None:
    engine = daemon.engine
    missing = pymachine(engine, "volume", "export", "missing", stdin=b"")
    assert (missing.code, "no such volume" in missing.err) == (1, True)
    broken = pymachine(engine, "volume", "import", "-", "broken", stdin=b"no tar at all" * 100)
    assert broken.code == 1
    escape = tmp_path / "escape.tar"
    with tarfile.open(escape, "w") as tar:
        link = tarfile.TarInfo("out")
        link.type, link.linkname = tarfile.SYMTYPE, "/"
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("out/tmp/escaped"))
        tar.addfile(tarfile.TarInfo("../../escaped"))
    pymachine(engine, "volume", "import", str(escape), "jail")
    assert not Path("/tmp/escaped").exists()
    root = daemon.containers.parent
    assert all("jail/_data" in str(path) for path in root.rglob("escaped"))
    assert "broken" not in engine.ok("volume", "ls", "-q").split()
    options = ("--opt", "type=tmpfs", "--opt", "device=tmpfs")
    engine.ok("volume", "create", *options, "memory")
    refused = pymachine(engine, "volume", "export", "memory")
    assert (refused.code, "is another file system (tmpfs)" in refused.err) == (1, True)
