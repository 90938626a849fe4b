"""The SSH connection of a keeper: made on demand, watched, made again.

Whoever needs it calls `want` and is called back. While it is being made all wait; a broken one is noticed by
silence and replaced at the next `want`. A wrong host key or a refused login ends the link for good.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from machine.errors import Denied, HostKeyMismatch, MachineError, Unavailable
from machine.model.machine import Machine
from machine.ssh.connect import connect
from machine.ssh.connection import Connection
from machine.ssh.streamlocal import probe

log = logging.getLogger("keeper")

FIRST_PATIENCE: Final = 5.0
"""Seconds for a machine that was never reached: it is probably stopped, and a person waits."""
PATIENCE: Final = 30.0
"""Seconds for one that was there before: long enough for a reboot."""
AFTERWARDS: Final = 0.5
"""Seconds once patience has run out, until it is reached again: docker's client asks three times in a row."""
PROBE_AFTER: Final = 15.0
"""Seconds of silence after which the host is asked whether it lives."""
SILENCE: Final = 10.0
"""Seconds without any answer to that until the connection counts as broken."""
IMPATIENCE: Final = 5.0
"""The same when a request is waiting for its channel: a laptop that woke up should not wait for the above."""
_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 2.0

Wanted = Callable[[Connection | MachineError], None]


class Link:
    """All methods are for the loop's thread. `prepare` runs in the connecting thread, on each new connection."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        record: Path,
        passphrase: str | None,
        *,
        prepare: Callable[[Connection], None],
        lost: Callable[[], None],
    ) -> None:
        self.handshakes = 0
        self.error: MachineError | None = None
        self._loop = loop
        self._record = record
        self._passphrase = passphrase
        self._prepare = prepare
        self._lost = lost
        self._connection: Connection | None = None
        self._waiting: list[Wanted] = []
        self._connecting = False
        self._closed = False
        self._given_up = False
        self._asked_at: float | None = None  # when the last probe was sent, until something was heard
        self._opening = 0
        # Held while an answer to a global request is awaited: answers carry no number.
        self.global_request = threading.Lock()

    @property
    def connection(self) -> Connection | None:
        """The one that works, as far as we know."""
        if self._connection is not None and not self._connection.alive:
            self._drop("it was closed by the host")
        return self._connection

    @property
    def refused(self) -> bool:
        """Whether trying again is useless: the wrong host, or our key is not wanted."""
        return isinstance(self.error, HostKeyMismatch | Denied)

    def want(self, wanted: Wanted) -> None:
        """Calls `wanted` with the connection, or with the reason why there is none; maybe at once."""
        if self._closed or self.refused:
            wanted(self.error or Unavailable("the keeper is ending: try again"))
            return
        connection = self.connection
        if connection is not None:
            wanted(connection)
            return
        self._waiting.append(wanted)
        if not self._connecting:
            self._connecting = True
            # A daemon: a handshake that hangs must not keep a keeper that was told to stop.
            threading.Thread(target=self._connect, name="connect", daemon=True).start()

    def opening(self, more: int) -> None:
        """`more` requests (or fewer, when negative) wait for the host to open their channels."""
        self._opening += more

    def watch(self) -> None:
        """To be called every second or two: notices a host that has gone silent."""
        connection = self.connection
        if connection is None or connection.last_heard is None:
            return
        now = time.monotonic()
        if self._asked_at is not None and connection.last_heard > self._asked_at:
            self._asked_at = None
        if self._asked_at is None:
            quiet = now - connection.last_heard
            if quiet > PROBE_AFTER or (self._opening and quiet > 1.0):
                self._ask(connection)
        elif now - self._asked_at > (IMPATIENCE if self._opening else SILENCE):
            self._drop(f"the host was silent for {now - connection.last_heard:.0f} s")

    def close(self) -> None:
        self._closed = True
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, connection: Connection) -> None:
        if not self.global_request.acquire(blocking=False):
            return  # another request is out: its answer proves as much
        try:
            self._asked_at = time.monotonic()
            probe(connection.transport)
        except (OSError, EOFError):
            self._drop("it broke")
        finally:
            self.global_request.release()

    def _drop(self, why: str) -> None:
        connection, self._connection = self._connection, None
        self._asked_at = None
        if connection is not None:
            log.warning("lost the connection: %s", why)
            connection.close()
            self._lost()

    # -- the connecting thread

    def _connect(self) -> None:
        outcome: Connection | MachineError
        try:
            outcome = self._try_for_a_while()
        except MachineError as error:
            outcome = error
        except Exception as error:
            # Whatever it is, those who wait must hear of it.
            log.exception("connecting failed")
            outcome = MachineError(f"connecting failed: {error!r}; the keeper's log has more")
        try:
            self._loop.call_soon_threadsafe(self._connected, outcome)
        except RuntimeError:  # the loop is closed: the keeper has ended meanwhile
            if isinstance(outcome, Connection):
                outcome.close()
            return
        if isinstance(outcome, Connection):
            _end_nagle(outcome)

    def _try_for_a_while(self) -> Connection:
        patience = AFTERWARDS if self._given_up else PATIENCE if self.handshakes else FIRST_PATIENCE
        end = time.monotonic() + patience
        pause = _PAUSE
        while True:
            # Read each time: a start may have changed the address, a rotation the key.
            try:
                machine = Machine.from_json(self._record.read_bytes())
            except OSError as error:
                raise MachineError(
                    f"the machine's record {self._record} is gone: {error.strerror}"
                ) from error
            try:
                left = max(1.0, end - time.monotonic())
                connection = connect(machine, timeout=min(left, 15.0), passphrase=self._passphrase)
            except Unavailable as error:
                log.info("%s", error)
                if self._closed or time.monotonic() + pause > end:
                    raise
            else:
                self._prepare(connection)
                return connection
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _connected(self, outcome: Connection | MachineError) -> None:
        self._connecting = False
        if isinstance(outcome, Connection):
            if self._closed:
                outcome.close()
                return
            self.handshakes += 1
            self._given_up = False
            self._connection = outcome
            self.error = None
            log.info("connected (%d)", self.handshakes)
        else:
            self.error = outcome
            self._given_up = True
            log.warning("%s", outcome)
        waiting, self._waiting = self._waiting, []
        for wanted in waiting:
            wanted(outcome)


def _end_nagle(connection: Connection) -> None:
    """Makes sshd set TCP_NODELAY on its side, which it does only when a session starts a command (session.c).

    Without it an answer that the engine writes in two pieces takes 44 ms instead of 1 (measured): the second
    piece waits for our delayed ACK of the first.
    """
    try:
        connection.run(":", check=False, timeout=15.0)
    except MachineError as error:
        log.info("answers may be slow: %s", error)
