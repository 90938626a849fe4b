"""Fork straight into a cgroup.

Moving a running process between cgroups waits for an RCU grace period, 10 to 30 ms, whenever the last move is some
time ago; clone3(CLONE_INTO_CGROUP) (Linux 5.7, cgroup v2) puts the child there without a wait.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import struct

from hostagent.kernel import libc

_CLONE3 = 435
_CLONE = {"x86_64": 56, "aarch64": 220, "riscv64": 220, "ppc64le": 120}
_CLONE_PIDFD = 0x00001000
_CLONE_PARENT = 0x00008000
_CLONE_INTO_CGROUP = 0x200000000

# Keeps the GIL over the call: parent and child come back from it as they went in.
_library = ctypes.PyDLL(None, use_errno=True)
_library.syscall.restype = ctypes.c_long


def fork() -> tuple[int, int]:
    """(pid, pidfd) in the parent, (0, -1) in the child."""
    pid = os.fork()
    return (pid, libc.pidfd_open(pid)) if pid else (0, -1)


def fork_sibling() -> tuple[int, int]:
    """As `fork`, but the child is one of the caller's parent (clone(2), CLONE_PARENT), which has to wait for it.

    As with `fork_into`, the hooks of os.fork are not run.
    """
    try:
        number = _CLONE[platform.machine()]
    except KeyError:
        raise OSError(errno.ENOSYS, f"no number of clone(2) known for {platform.machine()}") from None
    flags = ctypes.c_long(_CLONE_PARENT | signal.SIGCHLD)
    nothing = ctypes.c_long(0)
    pid: int = _library.syscall(ctypes.c_long(number), flags, nothing, nothing, nothing, nothing)
    if pid < 0:
        libc.fail("clone")
    return (pid, libc.pidfd_open(pid)) if pid else (0, -1)


def fork_into(cgroup_fd: int, sibling: bool = False) -> tuple[int, int]:
    """As `fork`, with the child in the v2 cgroup whose directory `cgroup_fd` is; `sibling`: see `fork_sibling`.

    For a single-threaded process whose child soon calls execve: the hooks of os.fork are not run, and the C library
    does not know the child's thread ID. Raises OSError (EBUSY: the group has children with controllers).
    """
    pidfd = ctypes.c_int(-1)
    arguments = struct.pack(
        "=11Q",
        _CLONE_PIDFD | _CLONE_INTO_CGROUP | (_CLONE_PARENT if sibling else 0),
        ctypes.addressof(pidfd),
        0,  # child_tid
        0,  # parent_tid
        0 if sibling else signal.SIGCHLD,  # a sibling's end is told as the caller's own would be
        0,  # stack: as fork, a copy of ours
        0,
        0,  # tls
        0,  # set_tid
        0,
        cgroup_fd,
    )
    pid: int = _library.syscall(ctypes.c_long(_CLONE3), arguments, ctypes.c_long(len(arguments)))
    if pid < 0:
        libc.fail("clone3")
    return pid, pidfd.value
