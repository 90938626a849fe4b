"""The daemon's end of a worker, when the other end is not what it should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostagent.errors import EngineError
from hostagent.image import crew
from hostagent.image.jobs import Pack, Packed


async def test_a_worker_of_another_version_fails_its_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replacing the engine's files under a running daemon must not leave its operations waiting for ever."""
    program = tmp_path / "worker"
    program.write_text(
        '#!/bin/sh\nread line\necho \'{"number":1,"report":{"type":"Unheard"}}\'\nexec sleep 60\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr("hostagent.image.crew.sys.executable", str(program))
    async with crew.Crew() as workers:
        with pytest.raises(EngineError, match="image worker ended"):
            await workers.run(Pack("/nowhere"), Packed)
        assert workers.gone
