"""Fixtures of the servers and images: session-wide where they can be shared."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import image
from tests.servers.namespace import Namespace
from tests.servers.registry import Registry
from tests.tools import need, need_root


@pytest.fixture(scope="session")
def busybox_tar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`busybox:latest` as a docker-archive."""
    path = tmp_path_factory.mktemp("images") / "busybox.tar"
    image.busybox(path, Path(need("busybox", "busybox-static")))
    return path


@pytest.fixture
def laptop() -> Iterator[Namespace]:
    """A network namespace that stands for a laptop: what runs in it sees no other network."""
    need_root()
    with Namespace() as namespace:
        yield namespace


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry on this namespace's loopback, at a port that was free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Registry(tmp_path_factory.mktemp("registry"), f"127.0.0.1:{port}") as server:
        yield server
