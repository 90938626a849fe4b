"""What every container has in its own layer without having changed anything: places of mounts, and Docker's mark."""

from __future__ import annotations

import os
import stat

MOUNT_FOLDERS = ("/dev", "/proc", "/sys")
MOUNT_FILES = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
MARK = "/.dockerenv"
"""An empty file by which programs know that they are in a container: Docker's since its first days."""


def is_bare(path: bytes, status: os.stat_result) -> bool:
    """Whether `path` (b"etc/hosts", relative to the root) is such a place, and empty: what is in a folder is looked at
    by itself."""
    name = "/" + os.fsdecode(path)
    if stat.S_ISDIR(status.st_mode):
        return name in MOUNT_FOLDERS
    return name in (*MOUNT_FILES, MARK) and stat.S_ISREG(status.st_mode) and status.st_size == 0
