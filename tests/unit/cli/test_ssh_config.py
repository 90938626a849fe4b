"""`pymachine ssh --config`: the system's own ssh reaches the machine by its name, and no impostor."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from machine.cli import main
from machine.cli.machine_ssh import config
from machine.model.machine import Machine
from machine.ssh.keys import generate
from machine.store.store import Store
from tests.unit.machine_ssh.sshd import Sshd


def test_ssh_by_name(tmp_path: Path) -> None:
    for name in ("sshd", "a home"):
        (tmp_path / name).mkdir()
    with Sshd(tmp_path / "sshd") as sshd:
        key = sshd.user_key.rename(tmp_path / "a home" / "key")
        machine = dataclasses.replace(sshd.machine, name="dev1", identity_file=str(key))
        done = ssh(tmp_path, machine)
        assert (done.returncode, done.stdout) == (0, "hi\n"), done.stderr
        done = ssh(tmp_path, dataclasses.replace(machine, host_key=generate("impostor").public))
        assert done.returncode == 255 and "Host key verification failed" in done.stderr


def test_dashes_before_the_command_are_not_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYMACHINE_HOME", str(tmp_path / "home"))
    (tmp_path / "sshd").mkdir()
    with Sshd(tmp_path / "sshd") as sshd:
        entry = Store().make("dev1")
        entry.write(dataclasses.replace(sshd.machine, name="dev1"))
        entry.journal.add("complete")
        for words in (
            ["--", "echo", "-n", "two  words"],
            ["echo", "-n", "two  words"],
            ["echo -n 'two  words'"],
        ):
            assert main.invoke(["ssh", "dev1", *words]) == 0
            assert capfd.readouterr().out == "two  words"


def ssh(tmp_path: Path, machine: Machine) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "config"
    file.write_text(config(machine))
    command = ["ssh", "-F", str(file), "dev1", "echo hi"]
    return subprocess.run(command, stdin=-3, capture_output=True, text=True, timeout=30, check=False)
