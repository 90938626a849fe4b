"""Pseudo terminals: the master is kept by the shim, the slave is the container's controlling terminal (pty(7))."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import termios

_TIOCGPTPEER = 0x5441
"""Opens the slave of a master by fd (ioctl_tty(2), Linux 4.13): no path, so nothing a container could swap."""

_TIOCSPTLCK = 0x40045431
"""Locks (1) or unlocks (0) the slave (ioctl_tty(2))."""

_PTMX = os.makedev(5, 2)


def open_slave(master: int) -> int:
    """Unlock and open the other end of a just opened ptmx (both close-on-exec). OSError(ENOTTY) when it is none."""
    found = os.fstat(master)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != _PTMX:
        raise OSError(errno.ENOTTY, "not a pseudo terminal multiplexer")
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    return fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def set_size(terminal: int, height: int, width: int) -> None:
    """Tell a terminal (either end) its size in characters; the foreground process group gets SIGWINCH."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def make_controlling(slave: int) -> None:
    """Make `slave` the terminal of this session; the caller is a session leader without one (setsid(2))."""
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
