from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.machine_client.engine import FakeEngine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    with FakeEngine(tmp_path / "engine.sock") as server:
        yield server
