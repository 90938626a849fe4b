"""What a step's process says, read from the socket that its shim writes to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

_HEAD = 8
"""Bytes before each piece: the stream's number, three zeros, the length (big-endian). Docker's attach format."""
_BLOCK = 64 * 1024


async def read_output(source: socket.socket, hear: Callable[[int, bytes], None]) -> None:
    """Until the other end is closed; `hear` gets 1 (stdout) or 2 (stderr), and bytes."""
    loop = asyncio.get_running_loop()
    pending = bytearray()
    while block := await loop.sock_recv(source, _BLOCK):
        pending += block
        while len(pending) >= _HEAD:
            end = _HEAD + int.from_bytes(pending[4:_HEAD], "big")
            if len(pending) < end:
                break
            hear(pending[0], bytes(pending[_HEAD:end]))
            del pending[:end]
