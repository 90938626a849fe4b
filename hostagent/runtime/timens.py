"""A clock of the container's own: monotonic and boot time with an offset (time_namespaces(7)).

A time namespace is the caller's children's, so it is made before the fork.
"""

from __future__ import annotations

import os

from hostagent.errors import Unsupported
from hostagent.kernel import constants as c
from hostagent.kernel import libc
from hostagent.kernel.fds import owned
from hostagent.runtime.spec import Spec


def enter(spec: Spec) -> None:
    """Later forks of the caller are in the spec's time namespace, if it has one. OSError, Unsupported (no kernel
    support)."""
    namespace = spec.namespace("time")
    if namespace is None:
        return
    if not os.path.exists("/proc/self/ns/time_for_children"):
        raise Unsupported("this kernel has no time namespaces (CONFIG_TIME_NS)")
    if namespace.path is not None:
        with owned(os.open(namespace.path, os.O_RDONLY | os.O_CLOEXEC)) as fd:
            libc.setns(fd, c.CLONE_NEWTIME)
        return
    libc.unshare(c.CLONE_NEWTIME)
    lines = "".join(f"{clock} {seconds} {nanoseconds}\n" for clock, seconds, nanoseconds in spec.time_offsets)
    if lines:
        with owned(os.open("/proc/self/timens_offsets", os.O_WRONLY | os.O_CLOEXEC)) as fd:
            os.write(fd, lines.encode())
