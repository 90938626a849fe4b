"""Waits for a host that is still booting."""

from __future__ import annotations

import time
from collections.abc import Callable

from machine.errors import Denied, Unavailable
from machine.model.machine import Machine
from machine.ssh.connect import connect
from machine.ssh.connection import Connection

_PAUSE = 0.05  # seconds; a local host is up in two seconds, so this is worth it
_LONGEST_PAUSE = 1.0
_CHECK = 2.0


def wait_for_ssh(
    machine: Machine,
    *,
    deadline: float = 120.0,
    passphrase: str | None = None,
    on_wait: Callable[[str], None] | None = None,
    check: Callable[[], None] | None = None,
) -> Connection:
    """Connects as soon as `machine` lets us in, at most `deadline` seconds from now.

    A refused login is tried again too: sshd may be up before cloud-init has written our key. A wrong host key
    is not: HostKeyMismatch is raised at once. `on_wait` gets the reason of each new kind of failure.
    `check` is called every few seconds, and raises when waiting has become useless.
    """
    end = time.monotonic() + deadline
    pause = _PAUSE
    told = ""
    next_check = time.monotonic() + _CHECK
    while True:
        left = end - time.monotonic()
        try:
            # An address that nobody has yet swallows packets: many short attempts find the host sooner.
            return connect(machine, timeout=max(0.5, min(left, 5.0)), passphrase=passphrase)
        except (Unavailable, Denied) as error:
            if end - time.monotonic() <= pause:
                raise
            if on_wait is not None and str(error) != told:
                told = str(error)
                on_wait(told)
        if check is not None and time.monotonic() > next_check:
            check()
            next_check = time.monotonic() + _CHECK
        time.sleep(pause)
        pause = min(pause * 1.3, _LONGEST_PAUSE)
