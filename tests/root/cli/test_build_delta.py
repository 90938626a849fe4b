"""A context that does not travel twice: what is sent, what is kept, and what may go wrong."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from hostagent.dockerfile.patterns import PathMatcher
from hostagent.wire.context import BuildInput, ContextEntry, ContextPiece
from machine.client import delta
from machine.client.build_context import walk
from machine.client.docker import DockerClient
from machine.errors import DaemonError, MachineError
from tests.root.cli.pymachine import pymachine
from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon

pytestmark = pytest.mark.root

_NOTHING = PathMatcher(())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYMACHINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def host(our_daemon: Daemon, home: Path) -> Iterator[Host]:
    with DockerClient(our_daemon.engine.socket) as client:
        yield Host(our_daemon.engine, client)


class Host:
    """Sends as `pymachine build` does, and counts."""

    def __init__(self, engine: Engine, client: DockerClient) -> None:
        self.engine = engine
        self.client = client
        self.sent = 0
        self.streams = 0
        self._send_contents = client.builds.send_contents
        client.builds.send_contents = self._counted  # type: ignore[method-assign]  # to see what travels

    def _counted(self, stream: Iterable[bytes]) -> None:
        def counted() -> Iterator[bytes]:
            for piece in stream:
                self.sent += len(piece)
                yield piece

        self.streams += 1
        self._send_contents(counted())

    def give(self, directory: Path) -> delta.Context:
        context = delta.read(str(directory), walk(str(directory), _NOTHING))
        self.sent = self.streams = 0
        delta.send(self.client.builds, context, lambda done, total: None)
        return context

    def build(self, context: delta.Context, dockerfile: str, **query: str) -> str:
        given = BuildInput(dockerfile=dockerfile.encode())
        reports = self.client.builds.build_context(query, context.name, context.id, given, {})
        return [str(report.aux["ID"]) for report in reports if report.aux][-1]

    def tree(self, context: delta.Context) -> list[str]:
        """The files as a build sees them: path, mode, time, hard links, content."""
        image = self.build(context, "FROM busybox\nCOPY . /all\n", nocache="1")
        script = "cd /all; find . -type f -exec stat -c '%n %a %Y %h' {} + -exec cat {} + ; find . -not -type f | sort"
        return sorted(self.engine.ok("run", "--rm", image, "sh", "-c", script).splitlines())


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    (directory / "deep" / "er").mkdir(parents=True)
    for number in range(40):
        (directory / f"file{number}").write_text(f"content {number}\n" * (number + 1))
    (directory / "deep" / "er" / "same").write_text("content 0\n")
    (directory / "empty").touch()
    (directory / "script").write_text("#!/bin/sh\n")
    (directory / "script").chmod(0o4755)
    os.link(directory / "script", directory / "deep" / "twin")
    (directory / "link").symlink_to("/etc/passwd")
    return directory


def test_only_what_is_new_travels(host: Host, context: Path) -> None:
    first = host.give(context)
    seen = host.tree(first)
    assert host.sent > 0
    assert "./script 4755" in " ".join(seen)
    assert host.give(context).id == first.id
    assert host.sent == 0
    (context / "file3").write_text("changed")
    (context / "file4").unlink()
    (context / "deep" / "er").rename(context / "moved")
    (context / "file5").unlink()
    (context / "file5").mkdir()
    second = host.give(context)
    assert 0 < host.sent < 200
    found = host.tree(second)
    assert "changed" in " ".join(found)
    shutil.copytree(context, context.with_name("again"), symlinks=True)
    os.unlink(context.with_name("again") / "deep" / "twin")
    os.link(context.with_name("again") / "script", context.with_name("again") / "deep" / "twin")
    again = host.give(context.with_name("again"))
    assert host.sent == 0, "contents are shared by contexts"
    assert host.tree(again) == found


def test_equal_files_are_not_one_file(host: Host, context: Path) -> None:
    """Two files with one content, mode and time share nothing in the image; hard links do."""
    os.utime(context / "file0", ns=(10**18, 10**18))
    os.utime(context / "deep" / "er" / "same", ns=(10**18, 10**18))
    image = host.build(host.give(context), "FROM busybox\nCOPY . /all\n")
    script = "cd /all; stat -c %h file0 deep/er/same script; [ script -ef deep/twin ] && echo twins"
    assert host.engine.ok("run", "--rm", image, "sh", "-c", script).split() == ["1", "1", "2", "twins"]


def test_a_build_does_not_change_what_is_kept(host: Host, context: Path) -> None:
    made = host.give(context)
    before = host.tree(made)
    host.build(
        made,
        "FROM busybox\nCOPY . /all\nRUN rm -rf /all/deep; for f in /all/*; do echo x >> $f; chmod 0 $f; done\n"
        "RUN --mount=type=bind,target=/in,rw rm -rf /in/deep; echo x > /in/file1; chmod 0 /in/file2\n",
    )
    assert host.tree(made) == before


def test_a_broken_line_costs_only_the_rest(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of what has arrived is sent again, not even half of a file."""
    monkeypatch.setattr(delta, "BATCH", 1 << 20)
    directory = tmp_path / "big"
    directory.mkdir()
    (directory / "a").write_bytes(os.urandom(1 << 19))
    (directory / "b").write_bytes(os.urandom(4 << 20))
    context = delta.read(str(directory), walk(str(directory), _NOTHING))

    def cut(done: int, total: int) -> None:
        if done > total // 2:
            raise MachineError("the line broke")

    with pytest.raises(MachineError, match="the line broke"):
        delta.send(host.client.builds, context, cut)
    host.give(directory)
    assert (host.sent < 3 << 20, host.streams < 4) == (True, True), (host.sent, host.streams)
    image = host.build(context, "FROM busybox\nCOPY b /b\n")
    found = host.engine.ok("run", "--rm", image, "sha256sum", "/b")
    assert found.split()[0] == next(e.content.hex() for e in context.entries if e.path == b"b")


def test_a_file_that_changes_meanwhile_is_refused(host: Host, context: Path) -> None:
    (context / "file7").write_text("never seen before")
    read = delta.read(str(context), walk(str(context), _NOTHING))
    (context / "file7").write_text("x" * (context / "file7").stat().st_size)
    with pytest.raises(DaemonError, match="was changed while it was sent"):
        delta.send(host.client.builds, read, lambda done, total: None)


@pytest.mark.parametrize(
    "path",
    [b"../out", b"/etc/passwd", b"a/../../x", b"link/in", b".", b"deep//x", b"file1", b"nodir/x", b"x\0y"],
)
def test_no_path_leads_out(host: Host, context: Path, path: bytes) -> None:
    read = delta.read(str(context), walk(str(context), _NOTHING))
    entries = [*read.entries, ContextEntry(path, "d", 0o755, 0)]
    pieces = [ContextPiece(hashlib.sha256(data).digest(), data) for data in delta._cut(entries)]
    hostile = delta.Context(read.name, read.directory, entries, pieces)
    with pytest.raises(DaemonError, match="entry") as refused:
        delta.send(host.client.builds, hostile, lambda done, total: None)
    assert refused.value.status == 400


def test_usage_and_prune(host: Host, context: Path) -> None:
    made = host.give(context)
    host.build(made, "FROM scratch\nCOPY . /\n")
    kept = "{{range .BuildCache}}{{.CacheType}} {{.Size}} {{end}}"
    assert "source.local" in host.engine.ok("system", "df", "-v", "--format", kept)
    host.engine.ok("builder", "prune", "-f")
    assert "source.local" not in host.engine.ok("system", "df", "-v", "--format", kept)
    with pytest.raises(DaemonError, match="send it again"):
        host.build(made, "FROM scratch\nCOPY . /\n")
    host.give(context)
    assert host.sent > 0
    host.build(made, "FROM scratch\nCOPY . /\n")


def test_secrets_travel_with_it(host: Host, context: Path) -> None:
    (context / "Dockerfile").write_text(
        "FROM busybox\nRUN --mount=type=secret,id=token sha256sum /run/secrets/token > /sum\n"
    )
    (context.parent / "token").write_text("hidden")
    done = pymachine(host.engine, "build", "--secret", f"id=token,src={context.parent}/token", str(context))
    assert done.code == 0, done
    found = host.engine.ok("run", "--rm", done.out.strip(), "cat", "/sum")
    assert found.startswith(hashlib.sha256(b"hidden").hexdigest())


def test_edits_that_keep_size_and_time_are_seen(host: Host, context: Path) -> None:
    first = host.give(context)
    before = (context / "file1").stat()
    (context / "file1").write_text("x" * before.st_size)
    os.utime(context / "file1", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert stat.S_ISREG(before.st_mode)
    assert host.give(context).id != first.id


@pytest.mark.long
def test_twenty_thousand_files(host: Host, tmp_path: Path) -> None:
    """Nothing changed is one small answer; one change is its file and its piece of the list."""
    directory = tmp_path / "many"
    for number in range(200):
        (directory / f"d{number}").mkdir(parents=True)
        for inner in range(100):
            (directory / f"d{number}" / f"f{inner}").write_text(f"{number} {inner}")
    first = host.give(directory)
    host.build(first, "FROM scratch\nCOPY d7 /\n")
    assert host.give(directory).id == first.id
    assert host.streams == 0
    (directory / "d5" / "f5").write_text("new")
    second = host.give(directory)
    assert (host.streams, host.sent < 200) == (1, True)
    image = host.build(second, "FROM busybox\nCOPY d5 /d5\n")
    assert host.engine.ok("run", "--rm", image, "cat", "/d5/f5") == "new"


def test_a_killed_daemon_loses_nothing_that_arrived(
    our_daemon: Daemon, home: Path, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between requests and while it changes a tree: the next one has whole contexts or none."""
    monkeypatch.setattr(delta, "BATCH", 100_000)
    for number in range(30):
        (context / f"big{number}").write_bytes(os.urandom(20_000))
    engine = our_daemon.engine
    read = delta.read(str(context), walk(str(context), _NOTHING))

    def kill_halfway(done: int, total: int) -> None:
        if done > total // 2:
            our_daemon.kill()
            raise MachineError("killed")

    with DockerClient(engine.socket) as client, pytest.raises(MachineError, match="killed"):
        delta.send(client.builds, read, kill_halfway)
    our_daemon.start()
    sent: list[int] = []
    with DockerClient(engine.socket) as client:
        delta.send(client.builds, read, lambda done, total: sent.append(total))
        assert 0 < sent[0] < 400_000, sent
    for round_number in range(4):
        (context / f"big{round_number}").unlink()
        (context / f"new{round_number}").write_text("new")
        read = delta.read(str(context), walk(str(context), _NOTHING))
        killer = threading.Timer(0.03 * round_number, our_daemon.kill)
        with DockerClient(engine.socket) as client:
            delta.send(client.builds, read, lambda done, total: None)
            killer.start()
            try:
                Host(engine, client).build(read, "FROM busybox\nCOPY . /all\n", nocache="1")
            except MachineError:
                pass  # killed before it was done, which is the point
        killer.join()
        our_daemon.start()
        with DockerClient(engine.socket) as client:
            host = Host(engine, client)
            delta.send(client.builds, read, lambda done, total: None)
            image = host.build(read, "FROM busybox\nCOPY . /all\nRUN cd /all && find . | sort > /list\n")
            found = engine.ok("run", "--rm", image, "cat", "/list").split()
            assert found == sorted([".", *(f"./{os.fsdecode(entry.path)}" for entry in read.entries)])
