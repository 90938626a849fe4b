"""Who waits for a container's end: callers in this process (futures), and clients whose connections are with us.

Most clients of `wait` are with the container's shim (docs/adr/0002-shim-protocol.md); it gives them back at the exit,
and they are answered here, after the exit has been recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hostagent.engine.container import Container
from hostagent.runtime import waiters


def exit_future(container: Container) -> asyncio.Future[int]:
    """Done with the exit code at the next end."""
    return _future(container.exits)


def removal_future(container: Container) -> asyncio.Future[int]:
    """Done with the last exit code when the container is gone."""
    return _future(container.removals)


def give_back(container: Container, for_removal: bool, clients: Sequence[int]) -> None:
    """Connections that its shim had are ours again; those that come late are answered at once."""
    container.waiting += [(fd, for_removal) for fd in clients]
    if container.gone:
        _answer(container, container.state.exit_code, all_of_them=True)
    elif container.shim is None:
        _answer(container, container.state.exit_code, all_of_them=False)


def ended(container: Container, code: int) -> None:
    """Tell of an exit, or of a start that failed."""
    _resolve(container.exits, code)
    _answer(container, code, all_of_them=False)


def removed(container: Container) -> None:
    """Tell all who are left."""
    code = container.state.exit_code
    _take_pending(container)
    _answer(container, code, all_of_them=True)
    _resolve(container.exits, code)
    _resolve(container.removals, code)


def not_removed(container: Container, reason: str) -> None:
    """Those who wait for a removal that failed hear of that, as dockerd tells them; nobody waits for ever."""
    code = container.state.exit_code
    for fd, _ in container.waiting:
        waiters.answer(fd, code, reason)
    container.waiting.clear()
    _resolve(container.removals, code)


def start_failed(container: Container, code: int) -> None:
    """Those who asked for the exit code before the start, as `docker run` does, get this one."""
    _take_pending(container)
    ended(container, code)


def _future(members: set[asyncio.Future[int]]) -> asyncio.Future[int]:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    members.add(future)
    future.add_done_callback(members.discard)
    return future


def _resolve(futures: set[asyncio.Future[int]], code: int) -> None:
    for future in futures:
        if not future.done():
            future.set_result(code)


def _take_pending(container: Container) -> None:
    container.waiting += [(fd, message.removed) for message, fd in container.pending_waits]
    container.pending_waits.clear()


def _answer(container: Container, code: int, all_of_them: bool) -> None:
    for fd, for_removal in container.waiting:
        if all_of_them or not for_removal:
            waiters.answer(fd, code)
    container.waiting = [] if all_of_them else [entry for entry in container.waiting if entry[1]]
