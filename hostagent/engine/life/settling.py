"""Between two runs of a container: until nobody else is in its folder."""

from __future__ import annotations

import asyncio
import time

from hostagent.engine.container import Container
from hostagent.engine.life import shims

SHIM_END_LIMIT = 10.0
LET_GO_LIMIT = 1.0


async def settled(container: Container) -> None:
    """Until helpers in the files of the last run are gone, and its shim, or it has let go of its folder (a client
    that is attached and does not read keeps it for longer): the folder is then ours."""
    if container.visits:
        await asyncio.wait(container.visits)
    link = container.link
    if link is None:
        return
    await asyncio.wait({link.closed}, timeout=LET_GO_LIMIT)
    deadline = time.monotonic() + SHIM_END_LIMIT
    while not link.closed.done() and shims.lock_held(container.directory):
        if time.monotonic() > deadline:
            shims.end(container.directory)
            deadline += SHIM_END_LIMIT
        await asyncio.wait({link.closed}, timeout=0.1)
    link.leave()
    container.link = None
