"""The one module for paths inside a container's root.

A container's files are hostile: any component may be a symlink that points at the host. Every lookup here is
openat2(RESOLVE_IN_ROOT) from an fd of the root: "/" and ".." end at that root (openat2(2), Linux 5.6).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from hostagent.kernel import libc
from hostagent.kernel.constants import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS
from hostagent.kernel.fds import owned

_RETRIES = 64
_MAX_LINKS = 40
"""As many symlinks as the kernel follows (path_resolution(7))."""


def open_in_root(root_fd: int, path: str, flags: int, mode: int = 0) -> int:
    """An fd (O_CLOEXEC) of `path` seen from `root_fd` as "/"; raises OSError as open(2) does.

    EAGAIN means that something was renamed while ".." was being resolved, and is tried again (openat2(2)).
    """
    for _ in range(_RETRIES):
        try:
            return libc.openat2(root_fd, path or "/", flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
        except BlockingIOError:
            continue
    raise OSError(errno.EAGAIN, "path keeps changing while it is looked up", path)


@contextmanager
def path_in_root(root_fd: int, path: str) -> Iterator[str]:
    """A name (`/proc/self/fd/N`) that stands for `path` in the root, for calls that take no fd (mount(2))."""
    with owned(open_in_root(root_fd, path, os.O_PATH)) as fd:
        yield proc_name(fd)


def proc_name(fd: int) -> str:
    """The name of an open fd for calls that take a path."""
    return f"/proc/self/fd/{fd}"


def exists_in_root(root_fd: int, path: str) -> bool:
    try:
        os.close(open_in_root(root_fd, path, os.O_PATH))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def read_in_root(root_fd: int, path: str, limit: int = 1 << 20) -> bytes:
    """Up to `limit` bytes of a regular file; never blocks on a fifo, which reads as empty."""
    with owned(open_in_root(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)) as fd:
        chunks = []
        while limit > 0 and (chunk := os.read(fd, limit)):
            chunks.append(chunk)
            limit -= len(chunk)
    return b"".join(chunks)


def mkdirs_in_root(root_fd: int, path: str, mode: int = 0o755) -> int:
    """Make the directory `path` with its parents where missing; an O_PATH fd of it.

    A dangling symlink on the way is followed and what it names is made, inside the root.
    """
    return _make(root_fd, path, mode, _MAX_LINKS, directory=True)


def touch_in_root(root_fd: int, path: str, mode: int = 0o644) -> int:
    """Make an empty file at `path` where there is nothing yet; an O_PATH fd of what is there."""
    return _make(root_fd, path, mode, _MAX_LINKS, directory=False)


def _make(root_fd: int, path: str, mode: int, links: int, *, directory: bool) -> int:
    try:
        return open_in_root(root_fd, path, os.O_PATH | (os.O_DIRECTORY if directory else 0))
    except FileNotFoundError:
        if links == 0:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
    parent, name = os.path.split(path.rstrip("/"))
    if name in {"", ".", ".."}:
        raise FileNotFoundError(errno.ENOENT, "cannot be made", path)
    with owned(_make(root_fd, parent, 0o755, links, directory=True)) as parent_fd:
        try:
            if directory:
                os.mkdir(name, mode, dir_fd=parent_fd)
            else:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                os.close(os.open(name, flags, mode, dir_fd=parent_fd))
        except FileExistsError:
            # Either someone else made it just now, or it is a symlink to nothing.
            target = _readlink(name, parent_fd)
            again = path if target is None else os.path.join(parent, target)
            return _make(root_fd, again, mode, links - 1, directory=directory)
        return libc.openat2(parent_fd, name, os.O_PATH | os.O_NOFOLLOW)


def _readlink(name: str, dir_fd: int) -> str | None:
    try:
        return os.readlink(name, dir_fd=dir_fd)
    except OSError as error:
        if error.errno == errno.EINVAL:  # not a symlink
            return None
        raise
