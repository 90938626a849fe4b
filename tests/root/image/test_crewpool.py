"""One worker for small jobs: used again, rid of what is cancelled, replaced when it dies."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from hostagent.errors import EngineError
from hostagent.image import crewpool
from hostagent.image.crewpool import CrewPool
from hostagent.image.jobs import Applied, Apply, Part, Scan, Scanned
from tests.root.image.samples import member, tar_of
from tests.servers.namespace import children_of


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not come to that in 10 s")


async def test_life_of_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(tar_of((member("file"), b"")))
    os.mkfifo(tmp_path / "fifo")
    pool = CrewPool()

    async def scan() -> int:
        async with pool.crew() as crew:
            await crew.run(Scan(str(archive), str(tmp_path / "inflated"), str(tmp_path / "report")), Scanned)
            return crew.pid

    async def hang() -> None:
        """Nobody writes into the fifo, so opening it takes for ever."""
        async with pool.crew() as crew:
            await crew.run(Apply(Part(str(tmp_path / "fifo")), str(tmp_path)), Applied)

    first = await scan()
    assert await scan() == first
    await until(lambda: not children_of(first))  # a job has answered a little before its process is gone
    hanging = asyncio.create_task(hang())
    await until(lambda: bool(children_of(first)))
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert children_of(first) == [] and await scan() == first
    await until(lambda: not children_of(first))

    hanging = asyncio.create_task(hang())
    await until(lambda: bool(children_of(first)))
    os.kill(first, signal.SIGKILL)
    with pytest.raises(EngineError, match="ended unexpectedly"):
        await hanging
    second = await scan()
    assert second != first

    monkeypatch.setattr(crewpool, "IDLE_SECONDS", 0.01)
    await scan()
    await until(lambda: not os.path.exists(f"/proc/{second}"))
    await pool.close()
