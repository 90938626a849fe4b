"""Keep the host's python out of a container's reach (design.md, rule 4).

Until execve, init is the host's interpreter inside the container: through /proc/<pid>/exe a process in there could
open the host's binary for writing. So the whole tree of processes runs from a detached read-only copy of that mount,
and is not dumpable, which closes /proc/<pid>/{exe,fd,mem,...} to whoever lacks CAP_SYS_PTRACE (proc(5)).
"""

from __future__ import annotations

import os
import sys

from hostagent.kernel import constants as c
from hostagent.kernel import libc
from hostagent.kernel.fds import owned


def reexec_from_sealed_python() -> None:
    """Run this very command again from the sealed binary, once; the second time only become non-dumpable.

    To be called before anything is set up: the program starts over. Fds without close-on-exec stay. Needs
    CAP_SYS_ADMIN; raises OSError.
    """
    if not _sealed():
        tree = libc.open_tree(c.AT_FDCWD, "/proc/self/exe", c.OPEN_TREE_CLONE)
        attributes = c.MOUNT_ATTR_RDONLY | c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV
        libc.mount_setattr(tree, "", c.AT_EMPTY_PATH, attr_set=attributes)
        # By fd: the copy has no path. argv[0] lets python find its prefix (a virtual environment) as before.
        os.execve(tree, [sys.executable, *sys.orig_argv[1:]], os.environ)  # noqa: S606 - a shell is not wanted
    libc.prctl(c.PR_SET_DUMPABLE, 0)


def _sealed() -> bool:
    with owned(os.open("/proc/self/exe", os.O_PATH | os.O_CLOEXEC)) as exe:
        return bool(os.fstatvfs(exe).f_flag & os.ST_RDONLY)
