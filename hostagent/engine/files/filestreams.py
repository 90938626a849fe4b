"""Tar streams between the daemon and a helper process that sees some files and nothing else.

Both share a pipe, so a slow end holds the other one back and memory does not grow. Whichever end goes away, the helper
is gone too, and its mounts with it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress

from hostagent.errors import Conflict

PIPE = 1 << 20  # bytes; the most that a pipe may have without privilege (pipe(7))
PIECE = 1 << 20  # bytes read at once

Run = Callable[[str], Coroutine[None, None, None]]
"""Runs one job (hostagent.image.filejobs), which opens the end of the pipe of this name for itself."""


@asynccontextmanager
async def reading(run: Run) -> AsyncIterator[asyncio.StreamReader]:
    """What a job writes. Its failure is raised at the end of the block, or instead of a line that is missing."""
    source, target = _pipe()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(PIECE)
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(source, "rb", 0)
    )
    task = loop.create_task(_with(run, target))
    try:
        with suppress(asyncio.IncompleteReadError):
            yield reader
        await _result(task)
    finally:
        await _ended(task)
        transport.close()


async def feed(run: Run, tar: AsyncIterator[bytes]) -> None:
    """Give a job what it reads, until it has enough or the stream ends."""
    source, target = _pipe()
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(target, "wb", 0)
    )
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    task = loop.create_task(_with(run, source))
    try:
        with suppress(ConnectionError):
            async for piece in tar:
                writer.write(piece)
                await writer.drain()
        writer.close()
        await _result(task)
    finally:
        await _ended(task)
        if not transport.is_closing():
            transport.abort()


async def _with(run: Run, fd: int) -> None:
    """Afterwards nobody has this end of the pipe."""
    try:
        await run(f"/proc/{os.getpid()}/fd/{fd}")
    finally:
        os.close(fd)


def _pipe() -> tuple[int, int]:
    source, target = os.pipe()
    with suppress(PermissionError):  # a user with many pipes has to do with a smaller one
        fcntl.fcntl(target, fcntl.F_SETPIPE_SZ, PIPE)
    return source, target


async def _result(task: asyncio.Task[None]) -> None:
    """Wait for a helper; what it raised. One that was cancelled with its container's removal is an error too."""
    await asyncio.wait({task})
    if task.cancelled():
        raise Conflict("the container was removed meanwhile")
    task.result()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # told already, or nobody is left to hear it
