"""Change of user and groups of this thread, by the bare system calls.

The C library's functions of these names change all threads of the process (nptl(7)) and wait for each to answer. In a
child of a process that was just starting a thread as it forked, that one never does: the child would hang for ever.
A process that has forked has one thread, for which the system calls are enough.
"""

from __future__ import annotations

import os
import platform
import struct
from collections.abc import Sequence

from hostagent.kernel import libc

# setgroups, setresgid, setresuid (arch/*/entry/syscalls/*.tbl, include/uapi/asm-generic/unistd.h)
_NUMBERS = {
    "x86_64": (116, 119, 117),
    "aarch64": (159, 149, 147),
    "riscv64": (159, 149, 147),
    "ppc64le": (81, 169, 164),
    "s390x": (206, 210, 208),
}
_SETGROUPS, _SETRESGID, _SETRESUID = _NUMBERS.get(platform.machine(), (0, 0, 0))


def setgroups(groups: Sequence[int]) -> None:
    """setgroups(2)."""
    if not _SETGROUPS:
        os.setgroups(groups)
        return
    libc.syscall(_SETGROUPS, len(groups), struct.pack(f"={len(groups)}I", *groups))


def setresgid(gid: int) -> None:
    """setresgid(2), all three."""
    if not _SETRESGID:
        os.setresgid(gid, gid, gid)
        return
    libc.syscall(_SETRESGID, gid, gid, gid)


def setresuid(uid: int) -> None:
    """setresuid(2), all three."""
    if not _SETRESUID:
        os.setresuid(uid, uid, uid)
        return
    libc.syscall(_SETRESUID, uid, uid, uid)
