"""A real sshd, shared by the tests that do not stop it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from machine.ssh.connect import connect
from machine.ssh.connection import Connection
from tests.unit.machine_ssh.sshd import Sshd


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with Sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def own_sshd(tmp_path: Path) -> Iterator[Sshd]:
    """One that the test may stop, freeze and start again."""
    with Sshd(tmp_path) as server:
        yield server


@pytest.fixture(autouse=True)
def no_personal_ssh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the agent nor ~/.ssh of who runs the tests."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def connection(sshd: Sshd) -> Iterator[Connection]:
    with connect(sshd.machine) as made:
        yield made
