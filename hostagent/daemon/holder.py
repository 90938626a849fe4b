"""The holder: the one process of pymachine-containers.service, whose cgroup the containers live under.

`python -m hostagent.daemon.holder` moves itself into the leaf `holder` of its delegated cgroup, so that the unit's own
cgroup has no processes and may have children with controllers (cgroup-v2.rst, "no internal processes"), and waits.
`python -m hostagent.daemon.holder stop` is the unit's ExecStop: the graceful end of all containers at a shutdown.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time

from hostagent.daemon.sockets import notify
from hostagent.kernel import fds
from hostagent.kernel.cgroup import Cgroup
from hostagent.runtime import protocol

SLEEP = "/usr/bin/sleep"

GRACE = 10.0
"""Seconds between the stop signal and SIGKILL."""


def hold() -> None:
    """Sit in the leaf until systemd says stop. Does not return."""
    leaf = Cgroup(f"{_own_path()}/holder")
    leaf.create()
    leaf.add_self()
    notify("READY=1")
    # coreutils' sleep waits in a tenth of a megabyte, an interpreter in ten; SIGTERM ends it as cleanly for systemd.
    os.execv(SLEEP, ["sleep", "infinity"])  # noqa: S606 - a shell is not wanted


def _own_path() -> str:
    """The unit's cgroup: in the v2 tree, or on a v1 host in systemd's own (cgroups(7), /proc/self/cgroup)."""
    paths = {}
    with open("/proc/self/cgroup") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            paths[controllers] = path
    return next((path for key in ("", "name=systemd") if (path := paths.get(key, "/")) != "/"), "/pymachine")


def stop_all(run_directory: str) -> None:
    """Ask every shim to stop its container, then kill what is left. Works without the daemon."""
    directory = f"{run_directory}/shims"
    shims = [link for name in sorted(_names(directory)) if (link := _connect(f"{directory}/{name}"))]
    deadline = time.monotonic() + GRACE
    orders = ((protocol.Stop(), deadline), (protocol.Signal(signal.SIGKILL), deadline + GRACE))
    for order, end in orders:
        for shim in shims:
            try:
                fds.send_message(shim, order.encode())
            except OSError:
                continue  # ended meanwhile
        shims = _wait(shims, end)


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def _connect(path: str) -> socket.socket | None:
    shim = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        shim.connect(path)
    except OSError:
        shim.close()
        return None  # left by a shim that was killed
    return shim


def _wait(shims: list[socket.socket], deadline: float) -> list[socket.socket]:
    """Those that still live at the deadline."""
    left = list(shims)
    while left and (seconds := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select(left, [], [], seconds)
        for shim in ready:
            try:
                data, received = fds.recv_message(shim)
            except OSError:
                data, received = b"", []
            for fd in received:
                os.close(fd)
            if not data:
                left.remove(shim)
                shim.close()
    return left


def main() -> None:
    """With `stop [RUN]` the end of all containers, else the holder."""
    if sys.argv[1:2] == ["stop"]:
        stop_all(sys.argv[2] if len(sys.argv) > 2 else "/run/pymachine")
    else:
        hold()


if __name__ == "__main__":
    main()
