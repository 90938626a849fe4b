"""An image service on a directory of its own, and streams for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from hostagent.image.service import ImageService
from hostagent.registry.config import RegistryConfig
from hostagent.statedb.database import Database

NewService = Callable[..., ImageService]


@pytest.fixture
def new_service(tmp_path: Path) -> Iterator[NewService]:
    """Makes services; each needs a root of its own, `root` below the test's folder."""
    databases: list[Database] = []

    def make(
        root: str = "engine", config: RegistryConfig | None = None, *, at: Path | None = None
    ) -> ImageService:
        directory = at or tmp_path / root
        directory.mkdir(exist_ok=True)
        database = Database(directory / "state.db")
        databases.append(database)
        service = ImageService(directory, database, config or RegistryConfig())
        service.recover()
        return service

    yield make
    for database in databases:
        database.close()


@pytest.fixture
def service(new_service: NewService) -> ImageService:
    return new_service()


async def stream(data: bytes, piece: int = 65536) -> AsyncIterator[bytes]:
    """What a client sends."""
    for offset in range(0, len(data), piece):
        yield data[offset : offset + piece]


def left_over(service: ImageService) -> list[str]:
    """Files of the engine beside its database, to compare before and after."""
    store = service.store
    return sorted(str(path) for place in (store.tmp, store.blobs, store.layers) for path in place.iterdir())
