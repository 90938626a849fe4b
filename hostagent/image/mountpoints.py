"""What every container has in its own layer without having changed anything: places of mounts, Docker's mark, and a
link to the list of mounts."""

from __future__ import annotations

import os
import stat

from hostagent.kernel.fds import owned
from hostagent.kernel.rootpath import mkdirs_in_root

MOUNT_FOLDERS = ("/dev", "/proc", "/sys")
MOUNT_FILES = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
MARK = "/.dockerenv"
"""An empty file by which programs know that they are in a container: Docker's since its first days."""
MTAB = "/etc/mtab"
MTAB_TARGET = "/proc/mounts"
"""Where programs older than /proc look for mounts; for images that have nothing there."""


def is_bare(path: bytes, status: os.stat_result) -> bool:
    """Whether `path` (b"etc/hosts", relative to the root) is such a place, and empty: what is in a folder is looked at
    by itself."""
    name = "/" + os.fsdecode(path)
    if stat.S_ISDIR(status.st_mode):
        return name in MOUNT_FOLDERS
    return name in (*MOUNT_FILES, MARK) and stat.S_ISREG(status.st_mode) and status.st_size == 0


def is_mtab(path: bytes, status: os.stat_result, directory: int) -> bool:
    """Whether `path`, relative to the fd of the root, is the link that we made."""
    if path.removeprefix(b"./") != MTAB[1:].encode() or not stat.S_ISLNK(status.st_mode):
        return False
    try:
        return os.readlink(path, dir_fd=directory) == MTAB_TARGET.encode()
    except OSError:
        return False  # it has gone, or is another file by now


def make_mtab(root: int) -> None:
    """Make the link where there is nothing yet, in the root behind an fd."""
    parent, name = os.path.split(MTAB)
    with owned(mkdirs_in_root(root, parent)) as directory:
        try:
            os.symlink(MTAB_TARGET, name, dir_fd=directory)
        except FileExistsError:
            return  # the image's own stands
