"""Writes that a full disk refused, made as soon as there is space.

What happened to a container is true whether or not it can be written down: memory holds it, the daemon goes on with it,
and the write is tried again. A daemon that is killed before that learns it from the container's directory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from hostagent.statedb.database import DatabaseFull

log = logging.getLogger(__name__)

PAUSE = 2.0
"""Seconds between attempts; no timer runs while nothing waits."""


class Later:
    """Work by key: the newest of a key replaces older work that still waits."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str], Callable[[], None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def run(self, kind: str, name: str, work: Callable[[], None]) -> None:
        """Now, or else soon."""
        try:
            work()
            self._waiting.pop((kind, name), None)
        except DatabaseFull as error:
            log.warning("%s of %s is written later: %s", kind, name[:12], error)
            self._waiting[kind, name] = work
            self._arm()

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PAUSE, self._again)

    def _again(self) -> None:
        self._timer = None
        for key, work in tuple(self._waiting.items()):
            try:
                work()
            except DatabaseFull:
                self._arm()
                return
            del self._waiting[key]
        log.info("the state is written completely again")

    def close(self) -> None:
        """The last attempt is the next daemon's, from what the directories say."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
