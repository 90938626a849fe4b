"""Attach by websocket: a shim speaks raw bytes, so the daemon stands between it and the client.

Other attached clients outlive the daemon; these end with it, and are told so (close 1001).
"""

from __future__ import annotations

import asyncio
import logging
import socket

from hostagent.api.websocket import Opcode, Receiver, Status, close_frame, frame
from hostagent.model.stream import Hijacked

log = logging.getLogger(__name__)

PIECE = 1 << 16  # bytes read at a time
CLOSING_SECONDS = 5.0  # for a client to answer our close


class Bridges:
    """All websockets that are open; ends with the application."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, client: Hijacked, opcode: Opcode) -> Hijacked:
        """What the shim gets in place of the client's socket; data goes to the client in frames of `opcode`."""
        ours, shims = socket.socketpair()
        ours.setblocking(False)
        shims.setblocking(False)
        bridge = _Bridge(socket.socket(fileno=client.fd), ours, opcode)
        task = asyncio.get_running_loop().create_task(bridge.run(client.early))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return Hijacked(shims.detach(), b"")

    async def close(self) -> None:
        """Tells all clients that this is the end."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


class _Bridge:
    def __init__(self, client: socket.socket, shim: socket.socket, opcode: Opcode) -> None:
        self._client, self._shim, self._opcode = client, shim, opcode
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.Lock()  # answers to pings go between frames of data, not into them
        self._receiver = Receiver()

    async def run(self, early: bytes) -> None:
        with self._client, self._shim:
            inward = self._loop.create_task(self._to_shim(early))
            outward = self._loop.create_task(self._to_client())
            try:
                await asyncio.wait({inward, outward}, return_when=asyncio.FIRST_COMPLETED)
                if outward.done() and not inward.done():
                    # The stream is over and the client knows; its own close is still to come.
                    await asyncio.wait({inward}, timeout=CLOSING_SECONDS)
            except asyncio.CancelledError:
                await self._say_goodbye()
                raise
            finally:
                for task in (inward, outward):
                    task.cancel()
                for result in await asyncio.gather(inward, outward, return_exceptions=True):
                    if isinstance(result, Exception) and not isinstance(result, OSError):
                        log.error("a websocket broke", exc_info=result)

    async def _to_shim(self, data: bytes) -> None:
        """Until the client closes or goes away."""
        over = False
        while True:
            received = self._receiver.receive(data)
            if received.replies:
                await self._send(received.replies)
            if received.data and not over:
                try:
                    await self._loop.sock_sendall(self._shim, received.data)
                except (BrokenPipeError, ConnectionResetError):
                    over = True  # the process is gone: what is typed now is for nobody
            if received.closed:
                return
            data = await self._loop.sock_recv(self._client, PIECE)
            if not data:
                return

    async def _to_client(self) -> None:
        """Until the shim has no more to say."""
        while data := await self._loop.sock_recv(self._shim, PIECE):
            await self._send(frame(self._opcode, data))
        await self._send(close_frame(Status.NORMAL))

    async def _send(self, data: bytes) -> None:
        async with self._sending:
            await self._loop.sock_sendall(self._client, data)

    async def _say_goodbye(self) -> None:
        """As far as the socket takes it at once, and unless a frame is half sent."""
        if not self._sending.locked():
            try:
                self._client.send(close_frame(Status.GOING_AWAY))
            except OSError as error:
                log.debug("a websocket's client did not hear of the end: %s", error)
