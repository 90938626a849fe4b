"""Going forth and back between engines: which formats are read (docs/adr/0007-upgrade-and-downgrade.md)."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostagent.errors import Unavailable
from hostagent.statedb.database import FORMAT, Database


def format_of(path: Path) -> int:
    # The header's 4 bytes at offset 60, https://www.sqlite.org/fileformat2.html#user_version_number
    return int.from_bytes(path.read_bytes()[60:64], "big")


def test_an_older_format_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    database = Database(path)
    database.execute(f"PRAGMA user_version = {FORMAT - 1}")
    database.close()
    Database(path).close()
    assert format_of(path) == FORMAT


def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    database = Database(path)
    database.execute(f"PRAGMA user_version = {FORMAT + 1}")
    database.close()
    before = path.read_bytes()
    with pytest.raises(Unavailable, match=f"format {FORMAT + 1}, this one reads up to {FORMAT}"):
        Database(path)
    assert path.read_bytes() == before
