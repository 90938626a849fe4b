"""The engines that scenarios run on. Session-wide: a test gets one that holds busybox and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import tree
from tests.peers.dockerd import dockerd
from tests.servers.engine import REGISTRY_PORT, Engine
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


@pytest.fixture(scope="session", params=[pytest.param("dockerd", marks=pytest.mark.peer), "hostagent"])
def each_engine(request: pytest.FixtureRequest) -> Engine | Daemon:
    """Each scenario runs on both: on dockerd it proves the test, on ours it proves the engine."""
    chosen: Engine | Daemon = request.getfixturevalue(
        "peer_engine" if request.param == "dockerd" else "our_daemon"
    )
    return chosen


@pytest.fixture
def engine(each_engine: Engine | Daemon) -> Iterator[Engine]:
    """One of the two engines, without containers; afterwards ours must have left nothing on its host."""
    yield each_engine.engine if isinstance(each_engine, Daemon) else each_engine
    _clean(each_engine)


@pytest.fixture
def daemon(our_daemon: Daemon) -> Iterator[Daemon]:
    """Our daemon; running again afterwards, whatever the test did to it."""
    yield our_daemon
    _clean(our_daemon)


@pytest.fixture
def both(peer_engine: Engine, our_daemon: Daemon) -> Iterator[tuple[Engine, Engine]]:
    """dockerd and ours side by side, for comparing what they print."""
    yield peer_engine, our_daemon.engine
    _clean(peer_engine)
    _clean(our_daemon)


def _clean(engine: Engine | Daemon) -> None:
    if isinstance(engine, Engine):
        engine.clean()
        return
    engine.ensure()
    engine.engine.clean()
    wrong = engine.wrong_shapes()
    assert not wrong, "answers that are not as in tests/data/api:\n  " + "\n  ".join(wrong[:20])
    left = engine.residue()
    assert not left, "left on the host by the engine:\n  " + "\n  ".join(left)


def _registry(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    address = f"127.0.0.1:{REGISTRY_PORT}"
    return Registry(tmp_path_factory.mktemp(f"registry-{engine.name}"), address, engine.namespace.command)
