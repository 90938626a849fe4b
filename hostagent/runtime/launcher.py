"""The launcher: a warm, single-threaded process that forks one shim per container.

Started by the daemon with one end of a SOCK_SEQPACKET pair (`python -m hostagent.runtime.launcher FD CGROUP RUN`, RUN
being the daemon's run directory); it ends at EOF on it and so is always of the daemon's version. Everything that a shim
needs is imported here, once, and rehearsed, and the heap is frozen, so that a shim shares nearly all of its memory with
it and starts in a fork's time.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys

from hostagent.kernel import fds
from hostagent.kernel.cgroup import Cgroup
from hostagent.runtime import rehearsal, selfexe, shim
from hostagent.runtime.packing import fill_holes
from hostagent.runtime.processes import set_name


def main() -> None:
    """Serve `Launch` messages until the daemon is gone."""
    selfexe.reexec_from_sealed_python()
    # The end of the daemon is ours; a shim's is its container's. (Not left to the shims: signal() is Python code.)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    set_name("pm-launcher", "pymachine: launcher")
    control = socket.socket(fileno=int(sys.argv[1]))
    fds.close_all_except((0, 1, 2, control.fileno()))
    # Shims are born where they belong: moving each would wait for an RCU grace period (15 ms) per container.
    Cgroup(sys.argv[2]).add_self()
    rehearsal.run(f"{sys.argv[3]}/rehearsal-{os.getpid()}")
    # Shims are not ours to wait for: the kernel reaps them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.disable()
    _fillers = fill_holes()
    gc.freeze()
    while True:
        data, received = fds.recv_message(control)
        if not data:
            return
        # Not read before the fork: what we write to is no longer shared with the shims of before.
        if os.fork() == 0:
            os.close(control.fileno())
            shim.run(data, received[0])  # never returns
        os.close(received[0])


if __name__ == "__main__":
    main()
