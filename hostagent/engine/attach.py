"""Handing a client's connection to the shim that owns the container's streams."""

from __future__ import annotations

import asyncio
import socket

from hostagent.engine import logs
from hostagent.engine.container import Container
from hostagent.engine.detachkeys import parse as parse_detach_keys
from hostagent.errors import Conflict
from hostagent.model.stream import AttachOptions, Hijacked, LogOptions, Upgrade
from hostagent.runtime import protocol


async def attach(container: Container, options: AttachOptions, upgrade: Upgrade) -> None:
    """Answer the client, then pass its socket on: the stream does not notice when the daemon ends."""
    keys = parse_detach_keys(options.detach_keys)
    if container.state.phase == "restarting":
        raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
    terminal = container.config.tty
    framed = options.framed and not terminal
    hijacked = await upgrade(framed)
    message = protocol.Attach(
        stdin=options.stdin and container.config.open_stdin,
        stdout=options.stdout,
        stderr=options.stderr and not terminal,
        multiplexed=framed,
        replay=options.logs,
        stream=options.stream,
        detach_keys=list(keys) if terminal and options.stdin else [],
        early=hijacked.early.decode("latin-1"),
    )
    if shim := container.shim:
        shim.send(message, [hijacked.fd])
    elif options.stream:
        # Not started (yet): `docker run` attaches first, so that it misses nothing.
        container.pending.append((message, hijacked.fd))
    else:
        await _replay(container, options, hijacked)


async def _replay(container: Container, options: AttachOptions, hijacked: Hijacked) -> None:
    """The log of a container that does not run, to a client that wants no more than that."""
    loop = asyncio.get_running_loop()
    with socket.socket(fileno=hijacked.fd) as client:
        client.setblocking(False)
        if not (options.logs and container.logs):
            return
        wanted = LogOptions(stdout=options.stdout, stderr=options.stderr)
        reader = logs.read(
            container.log_path,
            wanted,
            options.framed and not container.config.tty,
            lambda: False,
            loop.create_future(),
        )
        async for block in reader:
            try:
                await loop.sock_sendall(client, block)
            except (BrokenPipeError, ConnectionResetError):
                return  # the client has seen enough
