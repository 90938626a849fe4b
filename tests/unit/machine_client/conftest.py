from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from machine.client.keeper_start import forget_keeper
from machine.model.machine import Machine
from machine.model.paths import record_path
from tests.unit.machine_client.engine import FakeEngine
from tests.unit.machine_ssh.sshd import Sshd


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    with FakeEngine(tmp_path / "engine.sock") as server:
        yield server


@dataclass
class Host:
    """A machine that is a real sshd with a stand-in for the engine behind it."""

    sshd: Sshd
    engine: FakeEngine
    machine: Machine

    def record(self, machine: Machine) -> None:
        """Makes `machine` what the laptop knows."""
        path = record_path(machine.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(machine.to_json())


@pytest.fixture
def host(tmp_path: Path, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Its keeper is ended after the test."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYMACHINE_HOME", str(tmp_path / "h"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    folder = tmp_path / "sshd"
    folder.mkdir()
    with Sshd(folder) as sshd:
        machine = dataclasses.replace(sshd.machine, engine_socket=str(engine.path))
        made = Host(sshd, engine, machine)
        made.record(machine)
        try:
            yield made
        finally:
            sshd.thaw()
            forget_keeper(machine.name)
