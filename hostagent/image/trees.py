"""Remove a directory tree of any depth without following symlinks.

`shutil.rmtree` recurses, and a hostile layer can be deeper than Python's stack and than PATH_MAX. The tree must not be
changed by others meanwhile, which holds for what lies in the engine's tmp directory.
"""

from __future__ import annotations

import os


def remove_tree(path: bytes) -> None:
    """Remove the directory at `path` and all below it; absent is fine."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        os.unlink(path)
        return
    # One fd at a time: way down by name, way up by "..". Each level keeps the directories that are left in it.
    levels: list[tuple[bytes, list[bytes]]] = [(path, _clear(fd))]
    try:
        while True:
            name, directories = levels[-1]
            if directories:
                child = directories.pop()
                below = os.open(child, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                os.close(fd)
                fd = below
                levels.append((child, _clear(fd)))
                continue
            levels.pop()
            if not levels:
                os.rmdir(path)
                return
            above = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = above
            os.rmdir(name, dir_fd=fd)
    finally:
        os.close(fd)


def _clear(fd: int) -> list[bytes]:
    """Unlink everything in the directory that is not one; the names of those that are."""
    directories: list[bytes] = []
    with os.scandir(fd) as entries:
        names = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in names:
        if is_directory:
            directories.append(name)
        else:
            os.unlink(name, dir_fd=fd)
    return directories
