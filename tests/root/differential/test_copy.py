"""`docker cp` both ways, and the calls below it."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.root.differential.conftest import Same
from tests.servers.engine import Engine, UnixConnection

pytestmark = [pytest.mark.root, pytest.mark.peer]

FILES = """
mkdir -p /data/sub /data/empty /var/www && cd /data && umask 022
echo one > one && chmod 640 one && chown 33:50 one && echo two > sub/two && ln one hard
ln -s one link && ln -s /data/sub abs && ln -s ../data/sub rel && ln -s nowhere broken && ln -s loop loop
mkfifo fifo && mknod null c 1 3 && chmod 4755 sub/two && chmod 1777 empty
touch -d '2020-01-02 03:04:05' one sub/two fifo null && touch -hd '2020-01-02 03:04:05' link abs rel broken loop
touch -d '2020-01-02 03:04:05' sub empty .
"""
PATHS = (
    *(
        "/data",
        "/data/",
        "/data/.",
        "data",
        "/data/one",
        "/data/one/",
        "/data/one/.",
        "/data/link",
        "/data/link/",
    ),
    *(
        "/data/abs",
        "/data/abs/",
        "/data/abs/.",
        "/data/rel/two",
        "/data/broken",
        "/data/loop",
        "/data/loop/x",
    ),
    *(
        "/nope",
        "/data/one/x",
        "/data/../data/one",
        "/../../data/one",
        "/data/empty",
        "/data/fifo",
        "/data/null",
    ),
    *(
        "/data/sub/two",
        "//data//one",
        "/data/abs/../one",
        "/etc/hostname",
        "/bin/sh",
        "/proc/1",
        "/proc",
        "/sys/kernel",
    ),
)


ENGINES_OWN = ("/etc/hostname", "/proc")


@dataclass(frozen=True)
class Got:
    """A raw answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> str:
        return str(json.loads(self.body)["message"]) if self.status >= 400 and self.body else ""

    @property
    def stat(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(base64.b64decode(self.headers["x-docker-container-path-stat"]))
        return found


def call(engine: Engine, method: str, path: str, body: bytes | None = None, **headers: str) -> Got:
    connection = UnixConnection(engine.socket)
    try:
        connection.request(method, f"/v1.44/{path}", body, headers)
        answer = connection.getresponse()
        return Got(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def listing(tar: bytes) -> list[tuple[object, ...]]:
    """What is in an archive, in its order."""
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return [
            (
                *(member.name, member.type, oct(member.mode), member.uid, member.gid, member.linkname),
                *(member.size, member.mtime, member.devmajor, member.devminor),
                archive.extractfile(member).read() if member.isreg() else b"",  # type: ignore[union-attr]
            )
            for member in archive
        ]


@pytest.fixture
def prepared(both: tuple[Engine, Engine]) -> Iterator[tuple[Engine, Engine]]:
    """A running container, a stopped one and one that was never started, with the same files but the last."""
    for engine in both:
        engine.ok("run", "--name", "stopped", "--hostname", "box", "busybox", "sh", "-c", FILES)
        engine.ok("run", "-d", "--name", "box", "--hostname", "box", "busybox", "sleep", "600")
        engine.ok("exec", "box", "sh", "-c", FILES)
        engine.ok("create", "--name", "fresh", "busybox")
    yield both


def told_of(engine: Engine, name: str, path: str) -> tuple[object, ...]:
    """HEAD and GET of a path, without the times of what the engine made itself."""
    place = f"containers/{name}/archive?path={path}"
    head, got = call(engine, "HEAD", place), call(engine, "GET", place)
    if got.status != 200:
        return head.status, got.status, got.message
    stats, members = [head.stat, got.stat], listing(got.body)
    if path in ENGINES_OWN:
        for stat in stats:
            del stat["mtime"]
        members = [row[:7] for row in members]
    return head.status, got.status, got.headers["content-type"], *stats, *members


def test_stat_and_get(prepared: tuple[Engine, Engine]) -> None:
    differing = []
    for name, paths in (("box", PATHS), ("stopped", PATHS[::4])):
        for path in paths:
            theirs, ours = (told_of(engine, name, path) for engine in prepared)
            if theirs != ours:
                differing.append(f"{name} {path}\n  theirs {theirs}\n  ours   {ours}")
    assert not differing, "\n".join(differing)


MEMBERS: dict[str, list[tuple[str, dict[str, object], bytes]]] = {
    "plain": [
        ("new", {"mode": 0o4711, "uid": 33, "gid": 50, "mtime": 1577934245}, b"new"),
        ("a/b/c", {}, b"deep"),
    ],
    "folder": [("sub", {"type": tarfile.DIRTYPE, "mode": 0o750, "uid": 1, "mtime": 1577934245}, b"")],
    "over": [("one", {"mode": 0o600}, b"other"), ("link", {}, b"file now"), ("hard", {}, b"apart")],
    "dir over file": [("one", {"type": tarfile.DIRTYPE, "mode": 0o755}, b"")],
    "file over dir": [("sub", {}, b"file")],
    "file over link to dir": [("abs", {}, b"file")],
    "dir over link to dir": [("abs", {"type": tarfile.DIRTYPE, "mode": 0o700}, b""), ("abs/in", {}, b"in")],
    "through link": [("abs/in", {}, b"in")],
    "root": [(".", {"type": tarfile.DIRTYPE, "mode": 0o700, "uid": 7}, b""), ("./x", {}, b"x")],
    "links": [
        ("x", {"uid": 5}, b"x"),
        ("y", {"type": tarfile.LNKTYPE, "linkname": "x", "uid": 5}, b""),
        ("z", {"type": tarfile.SYMTYPE, "linkname": "/etc", "mtime": 1577934245}, b""),
    ],
    "nodes": [
        ("p", {"type": tarfile.FIFOTYPE, "mode": 0o600}, b""),
        ("c", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 7}, b""),
    ],
    "whiteout": [(".wh.one", {}, b"")],
    "above": [("../x", {}, b"x")],
    "cleaned": [("a/../../x", {}, b"x")],
    "absolute": [("/x", {}, b"x"), ("/../y", {}, b"y")],
    "symlink above": [("l", {"type": tarfile.SYMTYPE, "linkname": "../../x"}, b"")],
    "hard link above": [("l", {"type": tarfile.LNKTYPE, "linkname": "../../etc/passwd"}, b"")],
    "hard link to nothing": [("l", {"type": tarfile.LNKTYPE, "linkname": "ghost"}, b"")],
    "below a file": [("one/x", {}, b"x")],
    "xattr": [("x", {"pax_headers": {"SCHILY.xattr.user.a": "b"}}, b"x")],
}
SHOW = "cd /data && find . /tmp /x /y | sort | xargs stat -c '%n %F %a %u:%g %s %h %Y %N' | sed 's/ 179[0-9]* / now /'"


def archive(members: list[tuple[str, dict[str, object], bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, fields, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mtime = 1000000000
            for key, value in fields.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


PUTS = (
    *((what, "") for what in MEMBERS),
    *((what, "&noOverwriteDirNonDir=1") for what in MEMBERS if "over" in what),
    *((what, "&copyUIDGID=1") for what in ("plain", "folder", "links")),
)


def test_put(both: tuple[Engine, Engine]) -> None:
    told: list[dict[str, tuple[int, str, str]]] = []
    for engine in both:
        engine.ok("run", "-d", "--name", "box", "-u", "www", "busybox", "sleep", "600")
        engine.ok("exec", "-u", "0", "box", "sh", "-c", FILES)
        made = {}
        for what, query in PUTS:
            put = call(engine, "PUT", f"containers/box/archive?path=/data{query}", archive(MEMBERS[what]))
            again = f"{SHOW}; cd /; rm -rf /data /x /y; {FILES}"
            shown = engine.docker("exec", "-u", "0", "box", "sh", "-c", again).out
            made[what + query] = (put.status, put.message, shown)
        told.append(made)
    theirs, ours = told
    differing = [key for key in theirs if theirs[key] != ours[key]]
    assert not differing, "\n".join(f"{key}\n  {theirs[key]}\n  {ours[key]}" for key in differing)


def copied(engine: Engine, *argv: str) -> tuple[int, str, list[str]]:
    """What `docker cp` says, without what its client sometimes logs of a stream that it has cut itself."""
    done = engine.docker("cp", *(each.replace("SHARE", str(engine.share)) for each in argv))
    said = done.err.replace(str(engine.share), "SHARE").splitlines()
    return done.code, done.out, [line for line in said if "closed pipe" not in line]


def test_with_the_cli(prepared: tuple[Engine, Engine], same: Same) -> None:
    for engine in prepared:
        share = engine.share
        (share / "tree/deep").mkdir(parents=True, exist_ok=True)
        (share / "tree/deep/file").write_text("deep\n")
        (share / "tree/run").write_text("#!/bin/sh\n")
        (share / "tree/run").chmod(0o755)
        os.chown(share / "tree/run", 33, 50)
    for name in ("box", "stopped", "fresh"):
        for argv in (
            ("SHARE/tree", f"{name}:/"),
            ("SHARE/tree", f"{name}:/copied"),
            ("SHARE/tree/.", f"{name}:/tmp"),
            ("SHARE/tree/run", f"{name}:/tmp/renamed"),
            ("-a", "SHARE/tree/run", f"{name}:/tmp/archived"),
            ("SHARE/tree/run", f"{name}:/tmp/renamed/"),
            ("SHARE/tree/run", f"{name}:/no/such/"),
            ("SHARE/tree", f"{name}:/tmp/renamed"),
            ("SHARE/nothing", f"{name}:/tmp"),
            (f"{name}:/nothing", "SHARE/x"),
            (f"{name}:/tmp/renamed", "SHARE/out"),
            (f"{name}:/copied", "SHARE/out-tree"),
            (f"{name}:/copied/.", "SHARE/out-tree"),
            ("-L", f"{name}:/usr/bin/env", f"SHARE/env-{name}"),
            (f"{name}:/data/link", f"SHARE/link-{name}"),
            ("SHARE/tree/run", f"{name}:/etc/hosts"),
            ("SHARE/tree/run", f"{name}:/proc/new"),
            (f"{name}:/tmp", f"{name}:/var"),
            ("ghost:/tmp", "SHARE/x"),
            ("SHARE/tree", "ghost:/tmp"),
        ):
            theirs, ours = (copied(engine, *argv) for engine in prepared)
            assert ours == theirs, argv
    same(
        "exec",
        "box",
        "sh",
        "-c",
        "find /tree /copied /tmp | sort | xargs stat -c '%n %a %u:%g %s'",
    )
    same("pause", "box")
    for argv in (("SHARE/tree/run", "box:/tmp/while-paused"), ("box:/tmp/while-paused", "SHARE/paused")):
        theirs, ours = (copied(engine, *argv) for engine in prepared)
        assert ours == theirs and ours[0] == 0, argv
    same("unpause", "box")


def test_a_tar_through_standard_streams(prepared: tuple[Engine, Engine], same: Same) -> None:
    for engine in prepared:
        for name in ("box", "stopped"):
            out = subprocess.run(
                [engine.cli, "cp", f"{name}:/data/sub", "-"],
                env=engine.environment,
                check=True,
                capture_output=True,
            ).stdout
            assert [row[0] for row in listing(out)] == ["sub", "sub/two"]
            again = subprocess.run(
                [engine.cli, "cp", "-", f"{name}:/var"],
                check=False,
                env=engine.environment,
                input=out,
                capture_output=True,
            )
            assert (again.returncode, again.stderr) == (0, b"")
            assert engine.ok("cp", f"{name}:/var/sub/two", "-").count("two") >= 2


@pytest.mark.parametrize("run", [("run", "-d"), ("create",)])
def test_what_is_read_only(both: tuple[Engine, Engine], same: Same, run: tuple[str, ...]) -> None:
    for engine in both:
        for folder in ("ro/below", "rw", "under"):
            (engine.share / folder).mkdir(parents=True, exist_ok=True)
        (engine.share / "rw/host").write_text("of the host\n")
        (engine.share / "new").write_text("new\n")
    mounts = (
        "-v",
        "SHARE/ro:/mnt/ro:ro",
        "-v",
        "SHARE/rw:/mnt/rw",
        "-v",
        "SHARE/under:/mnt/ro/below",
        "--read-only",
    )
    same(*run, "--name", "box", *mounts, "busybox", "sleep", "600")
    for place in ("/", "/tmp", "/mnt/ro", "/mnt/rw", "/mnt/rw/new", "/mnt", "/dev"):
        same("cp", "SHARE/new", f"box:{place}")
    same("cp", "box:/mnt/rw/host", "SHARE/out")
    same("cp", "box:/mnt/ro/below", "SHARE/below")
    for engine in both:
        assert (engine.share / "rw/new").read_text() == "new\n"
        assert (engine.share / "out").read_text() == "of the host\n"
