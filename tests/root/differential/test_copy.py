"""`docker cp` both ways, and the calls below it."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

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


@pytest.mark.parametrize("name", ["box", "stopped"])
def test_stat_and_get(prepared: tuple[Engine, Engine], name: str) -> None:
    differing = []
    for path in PATHS:
        told = []
        for engine in prepared:
            head = call(engine, "HEAD", f"containers/{name}/archive?path={path}")
            got = call(engine, "GET", f"containers/{name}/archive?path={path}")
            stat = head.stat if head.status == 200 else {}
            if path in ("/etc/hostname", "/proc", "/sys/kernel"):
                stat["mtime"] = ""
            if got.status == 200:
                again = got.stat
                if path in ("/etc/hostname", "/proc", "/sys/kernel"):
                    again["mtime"] = ""
                content = [row if path != "/etc/hostname" else row[:7] for row in listing(got.body)]
                told.append((head.status, stat, got.status, again, got.headers["content-type"], content))
            else:
                told.append((head.status, stat, got.status, got.message))
        if told[0] != told[1]:
            differing.append(f"{path}\n  theirs {told[0]}\n  ours   {told[1]}")
    assert not differing, "\n".join(differing)
