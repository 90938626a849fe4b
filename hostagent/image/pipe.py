"""A client's stream straight into a job of a worker: the job reads while the stream is received, nothing is spooled."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from hostagent.image.buildjobs import UnpackContext
from hostagent.image.crew import Crew
from hostagent.image.jobs import Done
from hostagent.image.spool import FLUSH, write_all


async def unpack_stream(crew: Crew, stream: AsyncIterator[bytes], fifo: Path, into: Path) -> int:
    """Unpack a context while it comes; its bytes. `fifo` is the name of a new pipe. Raises Invalid for no tar."""
    os.mkfifo(fifo, 0o600)
    opened = asyncio.Event()
    # Held until the job has its end: a pipe that nobody has open forgets what is in it.
    holder = os.open(fifo, os.O_RDWR | os.O_CLOEXEC)
    job = asyncio.create_task(crew.run(UnpackContext(str(fifo), str(into)), Done, lambda _: opened.set()))
    try:
        await _either(job, opened)
        writer = os.open(fifo, os.O_WRONLY | os.O_CLOEXEC)
    except BaseException:
        job.cancel()
        await asyncio.wait({job})
        raise
    finally:
        os.close(holder)
    return await _feed(job, stream, writer)


async def _either(job: asyncio.Task[Done], opened: asyncio.Event) -> None:
    """Until the job has opened the pipe; its error if it never does."""
    waiting = asyncio.create_task(opened.wait())
    try:
        await asyncio.wait({job, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if job.done():
            job.result()
    finally:
        waiting.cancel()


async def _feed(job: asyncio.Task[Done], stream: AsyncIterator[bytes], writer: int) -> int:
    pump = asyncio.create_task(_pump(stream, writer))
    try:
        await asyncio.wait({job, pump}, return_when=asyncio.FIRST_COMPLETED)
        if not pump.done():
            await job  # it reads up to the end: that it has ended before is an error, which this raises
        size = await pump
        await job
        return size
    finally:
        # The job first: a thread that writes to it goes on only when nobody reads any more.
        job.cancel()
        await asyncio.wait({job})
        pump.cancel()
        await asyncio.wait({pump})


async def _pump(stream: AsyncIterator[bytes], writer: int) -> int:
    """All of the stream into the pipe, which is closed then. What the job says of a pipe that broke is told by it."""
    total = gathered = 0
    pieces: list[bytes] = []
    writing: asyncio.Future[None] | None = None
    try:
        async for piece in stream:
            pieces.append(piece)
            gathered += len(piece)
            total += len(piece)
            if gathered >= FLUSH:
                writing = asyncio.ensure_future(asyncio.to_thread(write_all, writer, pieces))
                await asyncio.shield(writing)
                pieces, gathered = [], 0
        writing = asyncio.ensure_future(asyncio.to_thread(write_all, writer, pieces))
        await asyncio.shield(writing)
    except BrokenPipeError:
        return total
    finally:
        if writing is not None and not writing.done():
            with suppress(BrokenPipeError):
                await asyncio.wait({writing})
        os.close(writer)
    return total
