"""Small facts about child processes, shared by the shim and its execs."""

from __future__ import annotations

import os

from hostagent.kernel import libc


def set_name(name: str) -> None:
    """What `ps` and `top` show of this process, up to 15 characters (proc(5), comm)."""
    with open("/proc/self/comm", "w") as file:
        file.write(name)


def exit_code(status: int) -> int:
    """A wait(2) status as a shell counts: 128 + signal when killed."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def signal_child(pidfd: int, number: int) -> None:
    """A process that is gone already is no error."""
    try:
        libc.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass
