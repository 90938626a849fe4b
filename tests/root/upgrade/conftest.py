"""Engines of earlier versions, kept as data (tests/data/frozen; docs/upgrades.md says how they are made)."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.hostagent import SOURCE, Daemon, hostagent

FROZEN = Path(__file__).parents[2] / "data/frozen"


@pytest.fixture(scope="session")
def old_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine whose shims speak version 1 of the protocol, and were the first to be upgraded."""
    folder = tmp_path_factory.mktemp("engine-1")
    with tarfile.open(FROZEN / "engine-1.tar.xz") as archive:
        archive.extractall(folder)  # our own, from the repository
    return folder


@pytest.fixture
def old_daemon(old_tree: Path, docker_cli: Path, busybox_tar: Path) -> Iterator[Daemon]:
    """A daemon of that tree with busybox, for one test."""
    with hostagent(docker_cli, source=old_tree) as daemon:
        daemon.engine.ok("load", "-i", str(busybox_tar))
        yield daemon
        if daemon.source != SOURCE:
            daemon.stop()
            daemon.source = SOURCE
        daemon.ensure()
        daemon.engine.clean()
        assert not daemon.residue()
