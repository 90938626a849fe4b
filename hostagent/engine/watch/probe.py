"""One run of a health check: an exec in the container's shim whose output comes back through a socket."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Sequence

from hostagent.engine.container import Container, ExecState
from hostagent.engine.execs import Execs
from hostagent.engine.life import startfailure
from hostagent.engine.watch.healthcheck import Result, duration
from hostagent.runtime import protocol

START_LIMIT = 30.0
"""Seconds for the exec to begin; they do not count against the check's own timeout."""
KILL_LIMIT = 30.0
OUTPUT_MAX = 4096
BLOCK = 16 * 1024


class Output:
    """The first OUTPUT_MAX bytes that a check says, and whether there were more."""

    def __init__(self) -> None:
        self._data = b""
        self._cut = False

    def add(self, data: bytes) -> None:
        self._cut = self._cut or len(self._data) + len(data) > OUTPUT_MAX
        self._data = (self._data + data)[:OUTPUT_MAX]

    def __str__(self) -> str:
        return self._data.decode(errors="replace") + ("..." if self._cut else "")


async def run(execs: Execs, container: Container, command: Sequence[str], timeout_ns: int) -> Result:
    """Run `command` in a running container. Killed when it does not end in time or the task is cancelled."""
    started = time.time_ns()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours:
        execution = execs.start_check(container, list(command), theirs.detach())
        assert execution.ended is not None
        try:
            code, text = await _outcome(execution, ours, timeout_ns)
        finally:
            if not execution.ended.done():
                _kill(execution)
    return Result(started, time.time_ns(), code, text)


async def _outcome(execution: ExecState, source: socket.socket, timeout_ns: int) -> tuple[int, str]:
    assert execution.begun is not None and execution.ended is not None
    # The end too: a container that ends meanwhile leaves the beginning open.
    either: set[asyncio.Future[protocol.Message] | asyncio.Future[int]] = {execution.begun, execution.ended}
    await asyncio.wait(either, timeout=START_LIMIT, return_when=asyncio.FIRST_COMPLETED)
    if not execution.begun.done():
        return -1, f"timed out starting health check for container {execution.container.id}"
    first = execution.begun.result()
    if isinstance(first, protocol.ExecFailed):
        return -1, str(startfailure.exec_error_of(first))
    output = Output()
    try:
        async with asyncio.timeout(timeout_ns / 1e9):
            await _collect(source, output)
            # The shim says the code before it ends the stream, but on another socket.
            return await asyncio.shield(execution.ended), str(output)
    except TimeoutError:
        _kill(execution)
        await asyncio.wait({execution.ended}, timeout=KILL_LIMIT)
    said = f": {output}" if str(output) else ""
    return -1, f"Health check exceeded timeout ({duration(timeout_ns)}){said}"


async def _collect(source: socket.socket, output: Output) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(source, BLOCK):
        output.add(data)


def _kill(execution: ExecState) -> None:
    if link := execution.container.link:
        link.send(protocol.Signal(signal.SIGKILL, execution.id))
