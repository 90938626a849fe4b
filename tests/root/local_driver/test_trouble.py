"""A `create` that cannot come to its end: Ctrl-C, a full disk, a laptop that moved to another network namespace."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.root.local_driver.conftest import MIRROR, Laptop
from tests.servers.namespace import Namespace

pytestmark = pytest.mark.root


def test_ctrl_c_says_what_remains_and_how_to_go_on(computer: Laptop) -> None:
    command = ["create", "local", "dev1", "--registry-mirror", MIRROR]
    code, shown = interrupted(computer, command, at="ssh, host key verified")
    # CPython ends by the signal itself when Ctrl-C hits an import that uses exec(): to a shell both are 130.
    assert code in (130, -signal.SIGINT), shown
    assert "dev1 is half made: what is done is kept." in shown
    assert "go on:  pymachine create local dev1     undo:  pymachine rm dev1" in shown
    assert "Traceback" not in shown
    output = computer.call("create", "dev1")
    assert "kept|host dev1|" in output
    # What was asked for at first is not asked for again.
    assert computer.machine("dev1").registry_mirrors == (MIRROR,)
    assert MIRROR in computer.ssh("dev1", "cat /etc/pymachine/daemon.json")


def test_a_disk_that_is_full_during_the_boot(computer: Laptop) -> None:
    with small_disk(computer.home) as disk:
        with computer.process("create", "dev1") as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("done|host dev1|"):
                    fill(disk / "fill")
            assert process.stderr is not None
            said = process.stderr.read()
            process.wait(30)
        assert said.startswith("Spoiled: the disk of ") and "is full, so dev1 cannot boot: make room" in said
        assert computer.store.list()[0].unfinished == "host dev1"
        (disk / "fill").unlink()
        # What a full disk has made of its first boot is not gone on with.
        output = computer.call("host", "dev1")
        assert "kept|keys|" in output and "done|host dev1|" in output
        assert computer.ssh("dev1", "hostname") == "dev1"

        with Namespace() as elsewhere:
            moved = Laptop(elsewhere, computer.home)
            said = moved.call("start", "dev1", status=1)
            assert (
                "Spoiled: dev1 runs in another network namespace, /proc/" in said and "nsenter --net=" in said
            )
            moved.call("rm", "dev1")
        assert computer.links() == set() and computer.tables() == ""
    assert computer.remains() == []


def interrupted(computer: Laptop, command: list[str], at: str) -> tuple[int, str]:
    """Runs pymachine on a terminal of its own and presses Ctrl-C once it shows `at`; exit code and what was seen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        # setsid --ctty: so that Ctrl-C there is a SIGINT here.
        [
            "setsid",
            "--ctty",
            *computer.namespace.command([sys.executable, "-m", "machine.cli.main", *command]),
        ],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=computer.environment,
    )
    os.close(theirs)
    seen, pressed = b"", False
    with suppress(OSError):  # EIO: everybody on the terminal has gone
        while piece := os.read(ours, 4096):
            seen += piece
            if not pressed and at.encode() in seen:
                time.sleep(0.1)
                os.write(ours, b"\x03")
                pressed = True
    os.close(ours)
    return process.wait(30), seen.decode()


@contextmanager
def small_disk(home: Path) -> Iterator[Path]:
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=320m", "tmpfs", home], check=True)
    try:
        yield home
    finally:
        subprocess.run(["umount", "--lazy", home], check=True)
        home.rmdir()


def fill(path: Path) -> None:
    with suppress(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
