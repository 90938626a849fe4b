"""Write a client's stream to a file without holding up the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

FLUSH = 1 << 20  # bytes gathered before a thread writes them


async def spool(stream: AsyncIterator[bytes], path: Path) -> int:
    """The stream as a new file; its size in bytes."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    total = 0
    try:
        pieces: list[bytes] = []
        gathered = 0
        async for piece in stream:
            pieces.append(piece)
            gathered += len(piece)
            if gathered >= FLUSH:
                await asyncio.to_thread(write_all, fd, pieces)
                total += gathered
                pieces, gathered = [], 0
        await asyncio.to_thread(write_all, fd, pieces)
        return total + gathered
    finally:
        os.close(fd)


def write_all(fd: int, pieces: list[bytes]) -> None:
    for piece in pieces:
        view = memoryview(piece)
        while view:
            view = view[os.write(fd, view) :]
