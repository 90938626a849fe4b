"""Where the daemon listens: sockets from systemd (sd_listen_fds(3)) or unix sockets of its own; and sd_notify(3)."""

from __future__ import annotations

import fcntl
import grp
import os
import socket
from collections.abc import Sequence

from hostagent.errors import Invalid

FIRST_FD = 3
GROUP = "pymachine"


def listening(hosts: Sequence[str]) -> list[socket.socket]:
    """Listening sockets; Invalid when there is nowhere to listen or an address is not understood."""
    sockets = [_bind(host) for host in hosts] or _from_systemd()
    if not sockets:
        raise Invalid(
            "nowhere to listen: give --host unix:///PATH, or start hostagent by its systemd socket unit"
        )
    return sockets


def _from_systemd() -> list[socket.socket]:
    if os.environ.pop("LISTEN_PID", "") != str(os.getpid()):
        return []
    count = int(os.environ.pop("LISTEN_FDS", "0"))
    sockets = []
    for fd in range(FIRST_FD, FIRST_FD + count):
        fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        sockets.append(socket.socket(fileno=fd))
    return sockets


def _bind(host: str) -> socket.socket:
    scheme, _, path = host.partition("://")
    if scheme != "unix" or not path.startswith("/"):
        raise Invalid(f"cannot listen on {host!r}: only unix:///PATH is supported")
    listener = socket.socket(socket.AF_UNIX)
    try:
        # A socket that an earlier daemon left is in the way; one that answers is another daemon.
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)
        raise Invalid(f"another daemon listens on {path}: stop it first")
    except FileNotFoundError:
        pass
    except ConnectionRefusedError:
        os.unlink(path)
    old = os.umask(0o117)  # 0660
    try:
        listener.bind(path)
    finally:
        os.umask(old)
    try:
        os.chown(path, -1, grp.getgrnam(GROUP).gr_gid)
    except KeyError:
        pass  # no such group on this host: root alone may connect
    listener.listen(128)
    return listener


def notify(state: str) -> None:
    """Tell systemd, if it started us ("READY=1")."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
