"""Handing a client's connection to the shim that owns the container's streams."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import aclosing

from hostagent.engine.container import Container
from hostagent.engine.detachkeys import parse as parse_detach_keys
from hostagent.engine.logs.logs import Logs
from hostagent.errors import Conflict
from hostagent.model.stream import AttachOptions, Hijacked, LogOptions, Upgrade
from hostagent.runtime import protocol

HEAD_START = 0.02
"""Seconds between the answer's head and a log that is there already: docker-py reads the head through a buffer that it
then forgets, with the stream's first bytes if they came together. (dockerd takes longer by itself.)"""


async def attach(container: Container, options: AttachOptions, upgrade: Upgrade, logs: Logs) -> None:
    """Answer the client, then pass its socket on: the stream does not notice when the daemon ends."""
    keys = parse_detach_keys(options.detach_keys)
    if container.state.phase == "restarting":
        raise Conflict(f"container {container.name} is restarting, wait until the container is running")
    if container.state.status == "paused":
        raise Conflict(f"container {container.name} is paused, unpause the container before attach")
    terminal = container.config.tty
    framed = options.framed and not terminal
    hijacked = await upgrade(framed)
    before = container.state.started_ns
    waits = container.shim is None
    if options.logs and before and container.host.log_config.type != "none":
        await _replay(container, options, hijacked, logs)
    message = protocol.Attach(
        stdin=options.stdin and container.config.open_stdin,
        stdout=options.stdout,
        stderr=options.stderr and not terminal,
        multiplexed=framed,
        stream=options.stream,
        detach_keys=list(keys) if terminal and options.stdin else [],
        early=hijacked.early.decode("latin-1"),
    )
    if not options.stream:
        os.close(hijacked.fd)
    elif shim := container.shim:
        shim.send(message, [hijacked.fd])
    elif waits and container.state.started_ns == before:
        # Not started (yet): `docker run` attaches first, so that it misses nothing.
        container.pending.append((message, hijacked.fd))
    else:
        os.close(hijacked.fd)  # the run that was meant has ended while the client read the log


async def _replay(container: Container, options: AttachOptions, hijacked: Hijacked, logs: Logs) -> None:
    """What the log holds, before anything new."""
    loop = asyncio.get_running_loop()
    with socket.socket(fileno=os.dup(hijacked.fd)) as client:
        client.setblocking(False)
        await asyncio.sleep(HEAD_START)
        wanted = LogOptions(stdout=options.stdout, stderr=options.stderr)
        async with aclosing(logs.read(container, wanted, options.framed)) as reader:
            async for block in reader:
                try:
                    await loop.sock_sendall(client, block)
                except (BrokenPipeError, ConnectionResetError):
                    return  # the client has seen enough
