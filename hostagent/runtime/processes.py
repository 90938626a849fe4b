"""Small facts about child processes, shared by the shim and its execs."""

from __future__ import annotations

import os

from hostagent.kernel import libc
from hostagent.runtime.exitrecord import boot_id


def set_name(name: str) -> None:
    """What `ps` and `top` show of this process, up to 15 characters (proc(5), comm)."""
    with open("/proc/self/comm", "w") as file:
        file.write(name)


def birth_certificate() -> dict[str, int | str]:
    """What tells this process from any other that ever had its pid: start in clock ticks since boot (proc(5), stat,
    field 22), and which boot."""
    with open("/proc/self/stat") as file:
        start = int(file.read().rpartition(")")[2].split()[19])
    return {"pid": os.getpid(), "start": start, "boot_id": boot_id()}


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
