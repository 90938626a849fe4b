"""`docker cp` with containers, archives and clients that mean harm, or only go away."""

from __future__ import annotations

import http.client
import io
import os
import tarfile
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.root.differential.test_copy import archive, call
from tests.servers.engine import Engine, UnixConnection
from tests.servers.hostagent import Daemon
from tests.servers.namespace import children_of, command_line

pytestmark = [pytest.mark.root]

SECRET = b"secret of the host"
BIG = 200 << 20  # bytes
SECONDS = 15.0


@pytest.fixture
def secret(daemon: Daemon) -> Path:
    """A folder of the host that no container has."""
    folder = daemon.engine.share / "secret"
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text(SECRET.decode())
    return folder


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def helpers(daemon: Daemon) -> list[int]:
    """Processes at work in containers' files."""
    workers = [pid for pid in children_of(daemon.pid) if "hostagent.image.worker" in command_line(pid)]
    return [pid for worker in workers for pid in children_of(worker)]


def stated(engine: Engine) -> object:
    """Size of the container's /big; None while there is none."""
    head = call(engine, "HEAD", "containers/box/archive?path=/big")
    return head.stat["size"] if head.status == 200 else None


def begin_get(engine: Engine, path: str) -> tuple[UnixConnection, http.client.HTTPResponse]:
    connection = UnixConnection(engine.socket)
    connection.request("GET", f"/v1.44/containers/box/archive?path={path}")
    return connection, connection.getresponse()


SWAP = """
mkdir -p /d/x && echo inside > /d/x/file && cd /d
while :; do mv x y; ln -s TARGET x; rm x; mv y x; done
"""


@pytest.mark.parametrize("options", [(), ("--pid", "host", "--privileged")])
def test_a_directory_that_becomes_a_symlink(daemon: Daemon, secret: Path, options: tuple[str, ...]) -> None:
    """The symlink is the host's path, and in a container that sees the host's processes also one by /proc."""
    engine = daemon.engine
    target = f"/proc/1/root{secret}" if options else str(secret)
    engine.ok("run", "-d", "--name", "box", *options, "busybox", "sh", "-c", SWAP.replace("TARGET", target))
    until(lambda: engine.docker("exec", "box", "test", "-d", "/d/x").code == 0, "the swapping has not begun")
    statuses: list[int] = []
    deadline = time.monotonic() + 2 * SECONDS
    while len(statuses) < 25 or (200 not in statuses and time.monotonic() < deadline):
        put = call(engine, "PUT", "containers/box/archive?path=/d/x", archive([("new", {}, b"new")]))
        statuses.append(put.status)
        for path in ("/d/x/file", "/d/x/.", "/d"):
            with suppress(
                http.client.IncompleteRead
            ):  # the file went between its description and its content
                assert SECRET not in call(engine, "GET", f"containers/box/archive?path={path}").body
    assert sorted(os.listdir(secret)) == ["file"]
    assert 200 in statuses


def test_magic_links_lead_nowhere(engine: Engine) -> None:
    """They would be followed with the rights of the helper, which sees every process of the host."""
    script = "ln -s /proc/1/root /out; ln -s /proc/1/cwd /cwd; ln -s /proc/self/fd /fds; exec sleep 600"
    engine.ok("run", "-d", "--name", "box", "--pid", "host", "--privileged", "busybox", "sh", "-c", script)
    share = engine.share
    for path in (f"/out{share}", f"/cwd{share}", "/fds/0", f"/proc/1/root{share}", "/proc/self/exe"):
        assert call(engine, "GET", f"containers/box/archive?path={path}").status == 404
        assert (
            call(engine, "PUT", f"containers/box/archive?path={path}", archive([("x", {}, b"")])).status
            == 404
        )


def test_an_archive_that_goes_through_its_own_symlink(daemon: Daemon, secret: Path) -> None:
    engine = daemon.engine
    engine.ok("create", "--name", "box", "busybox")
    inside = str(secret)
    for link in (inside, f"../../..{inside}"):
        members: list[tuple[str, dict[str, object], bytes]] = [
            ("link", {"type": tarfile.SYMTYPE, "linkname": link}, b""),
            ("link/pwned", {}, b"pwned"),
            ("hard", {"type": tarfile.LNKTYPE, "linkname": "link/file"}, b""),
        ]
        put = call(engine, "PUT", "containers/box/archive?path=/", archive(members))
        assert put.status in (200, 404, 500)
        assert call(engine, "GET", "containers/box/archive?path=/hard").status == 404
    assert sorted(os.listdir(secret)) == ["file"]


def test_no_archive(engine: Engine) -> None:
    engine.ok("create", "--name", "box", "busybox")
    for body in (b"this is no tar" * 100, archive([("x", {}, b"x" * 2000)])[:1500]):
        put = call(engine, "PUT", "containers/box/archive?path=/tmp", body)
        assert put.status >= 400 and put.message
    assert call(engine, "PUT", "containers/box/archive?path=/tmp", b"").status == 200
    assert call(engine, "PUT", "containers/box/archive?path=", b"").status == 400
    assert call(engine, "GET", "containers/box/archive").status == 400


def test_a_client_that_goes_away_leaves_nothing(daemon: Daemon) -> None:
    engine = daemon.engine
    engine.ok("run", "-d", "--name", "box", "busybox", "sh", "-c", f"truncate -s {BIG} /big; sleep 600")
    until(lambda: stated(engine) == BIG, "no file")
    connection, answer = begin_get(engine, "/big")
    assert len(answer.read(1 << 16)) == 1 << 16
    assert helpers(daemon)
    answer.close()
    connection.close()
    until(lambda: not helpers(daemon), "the helper of a GET is left")
    with closing(UnixConnection(engine.socket)) as sending:
        sending.putrequest("PUT", "/v1.44/containers/box/archive?path=/tmp")
        sending.putheader("Content-Length", str(1 << 30))
        sending.endheaders()
        info = tarfile.TarInfo("half")
        info.size = 1 << 30
        sending.send(info.tobuf() + bytes(1 << 20))
        until(lambda: bool(helpers(daemon)), "no helper")
    until(lambda: not helpers(daemon), "the helper of a PUT is left")
    engine.ok("rm", "-f", "box")


def test_a_client_that_does_not_read_holds_nobody_up(daemon: Daemon) -> None:
    engine = daemon.engine
    engine.ok("run", "--name", "box", "busybox", "truncate", "-s", str(BIG), "/big")
    connection, answer = begin_get(engine, "/big")
    started: list[int] = []
    starting = threading.Thread(target=lambda: started.append(engine.docker("start", "box", timeout=60).code))
    starting.start()
    starting.join(0.5)
    assert starting.is_alive()  # the layers must not be mounted twice
    answer.close()
    connection.close()
    starting.join(30)
    assert started == [0]
    connection, answer = begin_get(engine, "/big")
    assert answer.status == 200, answer.read()
    engine.ok("rm", "-f", "box", timeout=20)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        answer.read()
    connection.close()
    until(lambda: not helpers(daemon), "a helper is left")


def test_a_daemon_that_is_killed_takes_its_helpers_along(daemon: Daemon) -> None:
    engine = daemon.engine
    engine.ok("run", "-d", "--name", "box", "busybox", "sh", "-c", f"truncate -s {BIG} /big; sleep 600")
    until(lambda: stated(engine) == BIG, "no file")
    connection, answer = begin_get(engine, "/big")
    answer.read(1 << 16)
    (helper,) = helpers(daemon)
    daemon.kill()
    until(lambda: not command_line(helper), "the helper is left")
    answer.close()
    connection.close()
    daemon.ensure()
    assert call(engine, "HEAD", "containers/box/archive?path=/big").status == 200


def memory(pid: int) -> int:
    """Private bytes of a process (proc(5), smaps_rollup)."""
    with suppress(ProcessLookupError), open(f"/proc/{pid}/smaps_rollup") as file:
        return sum(int(line.split()[1]) << 10 for line in file if line.startswith("Private"))
    return 0  # it has just ended


@pytest.mark.parametrize("size", [BIG, pytest.param(1 << 30, marks=pytest.mark.long)])
def test_memory_does_not_grow(daemon: Daemon, size: int) -> None:
    engine = daemon.engine
    engine.ok("run", "-d", "--name", "box", "busybox", "sh", "-c", f"truncate -s {size} /big; sleep 600")
    until(lambda: stated(engine) == size, "no file")
    before = memory(daemon.pid)
    most = received = 0
    connection, answer = begin_get(engine, "/big")
    while piece := answer.read(1 << 20):
        received += len(piece)
        most = max(most, memory(daemon.pid), *(memory(pid) for pid in helpers(daemon)))
    connection.close()
    assert received > size
    assert most - before < 24 << 20

    def body() -> io.BufferedReader:
        info = tarfile.TarInfo("big")
        info.size = size
        return io.BufferedReader(_Zeros(info.tobuf(), size + 1024))

    with closing(UnixConnection(engine.socket)) as sending:
        headers = {"Content-Length": str(512 + size + 1024)}
        watch = threading.Thread(target=lambda: sending.request("PUT", PUT_TMP, body(), headers))
        watch.start()
        while watch.is_alive():
            most = max(most, memory(daemon.pid))
            watch.join(0.05)
        assert sending.getresponse().status == 200
    assert most - before < 24 << 20
    assert engine.ok("exec", "box", "stat", "-c", "%s", "/tmp/big") == str(size)


PUT_TMP = "/v1.44/containers/box/archive?path=/tmp"


class _Zeros(io.RawIOBase):
    """A header and that many zeros."""

    def __init__(self, head: bytes, size: int) -> None:
        self._head, self._left = head, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed: Buffer
        if self._head:
            head, self._head = self._head, b""
            buffer[: len(head)] = head
            return len(head)
        count = min(len(buffer), self._left)
        buffer[:count] = bytes(count)
        self._left -= count
        return count
