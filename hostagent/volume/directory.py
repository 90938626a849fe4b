"""Two questions about a directory."""

from __future__ import annotations

import os


def is_empty(directory: str | os.PathLike[str] | int) -> bool:
    """Of a path or an fd."""
    with os.scandir(directory) as entries:
        return next(entries, None) is None


def size(directory: str) -> int:
    """Bytes of all files below, a hard link counted once; what is removed meanwhile counts or not. In a thread."""
    total = 0
    seen: set[tuple[int, int]] = set()
    for folder, _folders, files in os.walk(directory):
        for name in files:
            try:
                status = os.lstat(os.path.join(folder, name))
            except FileNotFoundError:
                continue
            inode = (status.st_dev, status.st_ino)
            if inode not in seen:
                seen.add(inode)
                total += status.st_size
    return total
