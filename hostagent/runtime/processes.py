"""Small facts about child processes, shared by the shim and its execs.

Files are read and written by fd: Python's text files would dirty a quarter of a megabyte of each shim.
"""

from __future__ import annotations

import json
import os

from hostagent.kernel import libc
from hostagent.kernel.title import Title
from hostagent.runtime.exitrecord import boot_id

_STAT_MAX = 4096

CODE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""The tree that hostagent was imported from: each version of the agent has its own (docs/on-disk-layout.md)."""
_CODE = json.dumps(CODE)


TITLE = Title()


def set_name(name: str, line: str) -> None:
    """What `top` shows of this process, up to 15 characters (proc(5), comm), and what `ps` shows."""
    TITLE.set(line)
    libc.set_process_name(name)


def birth_certificate() -> bytes:
    """What tells this process from any other that ever had its pid, as a JSON object: pid, start (proc(5), stat,
    field 22), which boot, and where the code is that it runs for life."""
    pid = os.getpid()
    return (
        f'{{"pid": {pid}, "start": {start_ticks(pid)}, "boot_id": "{boot_id()}", "code": {_CODE}}}'.encode()
    )


def start_ticks(pid: int) -> int:
    """When the process started, in clock ticks since boot."""
    fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int(os.read(fd, _STAT_MAX).rpartition(b")")[2].split(None, 20)[19])
    finally:
        os.close(fd)


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
