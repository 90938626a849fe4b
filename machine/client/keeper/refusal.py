"""An answer of the keeper's own, in HTTP, so that every Docker client can show why it got nothing."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Final

from machine.client.keeper.protocol import KEEPER_HEADER
from machine.errors import Denied, HostKeyMismatch, MachineError

_DRAIN: Final = 5.0


def kind_of(error: MachineError) -> str:
    """The value of the keeper's header, and of a control answer."""
    if isinstance(error, HostKeyMismatch):
        return "host-key"
    return "denied" if isinstance(error, Denied) else "unavailable"


async def refuse(loop: asyncio.AbstractEventLoop, sock: socket.socket, error: MachineError) -> None:
    """Waits for a request on `sock`, answers 503 with the error's text, closes. Owner of `sock`."""
    body = json.dumps({"message": str(error)}).encode() + b"\n"
    head = (
        "HTTP/1.1 503 Service Unavailable\r\n"
        f"Content-Type: application/json\r\n{KEEPER_HEADER}: {kind_of(error)}\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with sock:
        sock.setblocking(False)
        try:
            async with asyncio.timeout(_DRAIN):
                # An answer before its question is an error for Go's client.
                if not await loop.sock_recv(sock, 65536):
                    return
                await loop.sock_sendall(sock, head.encode() + body)
                sock.shutdown(socket.SHUT_WR)
                # Closing with unread bytes would reset the connection under the answer.
                while await loop.sock_recv(sock, 65536):
                    pass
        except (OSError, TimeoutError):
            return
