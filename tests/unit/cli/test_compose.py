"""`pymachine compose`: which Compose is found, and that all words reach it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from machine.cli.compose import find
from machine.errors import Unsupported

_DRIVER = """\
import sys
from pathlib import Path
from machine.cli import main, target
target.engine_socket = lambda context, option: Path("/run/there.sock")
target.machine_name = lambda context, option: "dev1"
sys.exit(main.invoke(sys.argv[1:]))
"""


def program(path: Path) -> str:
    path.parent.mkdir(parents=True)
    path.write_text('#!/bin/sh\nprintf "%s\\n" "$DOCKER_HOST $DOCKER_TLS_VERIFY" "$@"; exit 7\n')
    path.chmod(0o755)
    return str(path)


def test_the_plugin_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("machine.cli.compose._PLUGIN_FOLDERS", (str(tmp_path / "lib"),))
    here = {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
    with pytest.raises(Unsupported, match="apt-get install docker-compose"):
        find(here)
    old = program(tmp_path / "bin" / "docker-compose")
    assert find(here) == old
    new = program(tmp_path / "lib" / "docker-compose")
    assert find(here) == new
    own = program(tmp_path / ".docker" / "cli-plugins" / "docker-compose")
    assert find(here) == own


def test_all_words_and_the_exit_code_are_compose_s(tmp_path: Path) -> None:
    program(tmp_path / ".docker" / "cli-plugins" / "docker-compose")
    words = ["-f", "a b.yml", "--profile=x", "up", "-d", "--help"]
    environment = {"HOME": str(tmp_path), "DOCKER_TLS_VERIFY": "1", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, "compose", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout.splitlines() == ["unix:///run/there.sock ", *words]
