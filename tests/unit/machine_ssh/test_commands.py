from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from machine.errors import CommandFailed, Unavailable
from machine.ssh import files
from machine.ssh.connect import connect
from machine.ssh.connection import Connection
from tests.unit.machine_ssh.sshd import Sshd


def test_output_status_and_input(connection: Connection) -> None:
    done = connection.run("cat; echo err >&2; exit 3", stdin=b"in", check=False)
    assert (done.status, done.stdout, done.stderr) == (3, b"in", b"err\n")
    with pytest.raises(CommandFailed, match=r"`false` on test1 ended with status 1: no output") as caught:
        connection.run("false")
    assert caught.value.status == 1


def test_a_lot_in_all_three_streams_at_once(connection: Connection) -> None:
    size = 8_000_000
    pieces: list[int] = []
    done = connection.run(
        "tee /dev/stderr",
        stdin=(b"x" * 100_000 for _ in range(80)),
        on_output=lambda p: pieces.append(len(p)),
    )
    assert len(done.stdout) == len(done.stderr) == sum(pieces) == size


def test_a_command_that_does_not_read_its_input(connection: Connection) -> None:
    assert connection.run("true", stdin=b"x" * 20_000_000).status == 0


def test_a_slow_command_is_given_up(connection: Connection) -> None:
    pid: list[bytes] = []
    with pytest.raises(Unavailable, match=r"did not end within 0\.5 s"):
        connection.run("echo $$; exec sleep 20", timeout=0.5, on_output=pid.append)
    os.kill(int(b"".join(pid)), signal.SIGKILL)  # sshd leaves it running, as ssh does


def test_a_connection_that_breaks_under_a_command(own_sshd: Sshd) -> None:
    with connect(own_sshd.machine) as connection:
        breaking = threading.Timer(0.3, own_sshd.drop_connections)
        breaking.start()
        started = time.monotonic()
        with pytest.raises(Unavailable, match="broke"):
            connection.run("exec sleep 2")
        assert time.monotonic() - started < 3
        breaking.join()
        with pytest.raises(Unavailable):
            connection.run("true")


def test_put_replaces_a_file_at_once(connection: Connection, tmp_path: Path) -> None:
    path = tmp_path / "with 'quotes' and space"
    files.put(connection, b"old", str(path))
    files.put(connection, b"\0new\n" * 1000, str(path), mode=0o640)
    assert path.read_bytes() == b"\0new\n" * 1000
    assert os.stat(path).st_mode & 0o777 == 0o640
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_put_tree_keeps_modes_and_links(connection: Connection, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "run").write_text("#!/bin/sh\n")
    (source / "deep" / "run").chmod(0o755)
    (source / "deep" / "er" / "big").write_bytes(b"z" * 3_000_000)
    (source / "link").symlink_to("deep/run")
    target = tmp_path / "target" / "x"
    files.put_tree(connection, source, str(target))
    assert (target / "deep" / "er" / "big").stat().st_size == 3_000_000
    assert os.access(target / "deep" / "run", os.X_OK)
    assert os.readlink(target / "link") == "deep/run"


def test_a_failing_tar_says_so(connection: Connection, tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"this is no archive" * 1000

    with pytest.raises(CommandFailed, match="tar"):
        files.put_tar(connection, pieces(), str(tmp_path / "x"))
