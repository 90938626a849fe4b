"""The engines that scenarios run on. Session-wide: a test gets one that holds busybox and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import tree
from tests.peers.dockerd import dockerd
from tests.servers.engine import BUSYBOX, REGISTRY_PORT, Engine
from tests.servers.hostagent import Daemon, hostagent
from tests.servers.registry import Registry
from tests.tools import need_root


@pytest.fixture(scope="session")
def docker_cli() -> Path:
    """The newest docker CLI at hand."""
    return tree.cli_newest()


@pytest.fixture(scope="session")
def old_docker_cli() -> Path:
    """Debian 12's docker CLI, 20.10."""
    return tree.cli_20_10()


@pytest.fixture(scope="session")
def peer_engine(
    docker_cli: Path, busybox_tar: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """dockerd 26.1."""
    need_root()
    with dockerd(docker_cli) as engine, _registry(engine, tmp_path_factory):
        engine.ok("load", "-i", str(busybox_tar))
        yield engine


@pytest.fixture(scope="session")
def our_daemon(
    docker_cli: Path, busybox_tar: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    """Our bare daemon, for tests that kill it."""
    need_root()
    with hostagent(docker_cli) as daemon, _registry(daemon.engine, tmp_path_factory):
        daemon.engine.ok("load", "-i", str(busybox_tar))
        yield daemon


@pytest.fixture(params=[pytest.param("dockerd", marks=pytest.mark.peer), "hostagent"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each scenario runs on both: on dockerd it proves the test, on ours it proves the engine."""
    if request.param == "dockerd":
        chosen: Engine = request.getfixturevalue("peer_engine")
    else:
        chosen = request.getfixturevalue("our_daemon").engine
    yield chosen
    chosen.clean()


@pytest.fixture
def both(peer_engine: Engine, our_daemon: Daemon) -> Iterator[tuple[Engine, Engine]]:
    """dockerd and ours side by side, for comparing what they print."""
    yield peer_engine, our_daemon.engine
    peer_engine.clean()
    our_daemon.engine.clean()


@pytest.fixture
def image(engine: Engine) -> str:
    """Name of an image that is there."""
    return BUSYBOX


def _registry(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    address = f"127.0.0.1:{REGISTRY_PORT}"
    return Registry(tmp_path_factory.mktemp(f"registry-{engine.name}"), address, engine.namespace.command)
