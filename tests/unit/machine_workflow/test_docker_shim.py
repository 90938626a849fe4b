"""The host's `docker system dial-stdio`: bytes both ways, and half-close both ways."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from importlib.resources import files
from pathlib import Path

import pytest


def shim(tmp_path: Path) -> list[str]:
    """The program, with another socket."""
    source = files("machine.workflow").joinpath("host", "docker").read_text()
    path = tmp_path / "docker"
    path.write_text(source.replace('"/run/pymachine.sock"', repr(str(tmp_path / "s"))))
    return [sys.executable, "-IS", str(path), "system", "dial-stdio"]


def test_a_reply_that_comes_after_our_end(tmp_path: Path) -> None:
    """As `echo hi | docker run -i busybox cat`: the answer is written after stdin's end."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                seen = b""
                while piece := connection.recv(65536):
                    seen += piece
                connection.sendall(seen.upper())

        thread = threading.Thread(target=answer)
        thread.start()
        data = b"hello " * 200_000
        done = subprocess.run(shim(tmp_path), input=data, capture_output=True, timeout=60, check=False)
        thread.join()
    assert done.returncode == 0 and done.stdout == data.upper() and done.stderr == b""


def test_the_engines_end_is_the_end(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        with subprocess.Popen(shim(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"bye")
            assert process.stdout is not None and process.stdout.read() == b"bye"
            assert process.wait(30) == 0


@pytest.mark.parametrize("arguments", [["ps"], [], ["system", "df"]])
def test_other_commands_are_refused(tmp_path: Path, arguments: list[str]) -> None:
    command = [*shim(tmp_path)[:-2], *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and "docker system dial-stdio" in done.stderr


def test_no_engine_is_said(tmp_path: Path) -> None:
    done = subprocess.run(shim(tmp_path), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and "is pymachine.socket running?" in done.stderr
