"""Repairs our nftables tables as soon as somebody has changed them: a firewall that is loaded anew flushes what it does
not know, and published ports would be gone until the next container starts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from hostagent.errors import EngineError
from hostagent.kernel.nft_events import Events

log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.05
"""A firewall is seldom loaded by one transaction: ours goes last."""


class Guard:
    """Listens in the event loop. `prefix` begins the names of our tables, `repair` puts right what is not."""

    def __init__(self, prefix: str, repair: Callable[[], bool]) -> None:
        self._prefix = prefix
        self._repair = repair
        self._loop = asyncio.get_running_loop()
        self._events = Events()
        self._due: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._events.fileno(), self._heard)

    def close(self) -> None:
        self._loop.remove_reader(self._events.fileno())
        self._events.close()
        if self._due:
            self._due.cancel()

    def _heard(self) -> None:
        """Of our own changes too: `repair` knows those."""
        names = self._events.tables()
        if (names is None or any(name.startswith(self._prefix) for name in names)) and self._due is None:
            self._due = self._loop.call_later(SETTLE_SECONDS, self._look)

    def _look(self) -> None:
        self._due = None
        try:
            if self._repair():
                log.warning("somebody changed our nftables tables; they are as they were")
        except (EngineError, OSError) as error:
            log.error("our nftables tables are damaged: %s", error)
