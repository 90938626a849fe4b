from __future__ import annotations

from pathlib import Path

import pytest

from tests.root.runtime.bundle import Bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    path = tmp_path / "b"
    path.mkdir()
    return Bundle(path)
