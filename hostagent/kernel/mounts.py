"""Mounts of a container's root: overlay over its layers, and the host's files bound into it.

For processes in a mount namespace of their own. Directories go by fd: many layers fit into one page of options, and
no name is looked up twice.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack

from hostagent.kernel import constants as c
from hostagent.kernel import libc
from hostagent.kernel.fds import owned
from hostagent.kernel.rootpath import mkdirs_in_root, proc_name, touch_in_root


def mount_overlay(
    target: str,
    lower: Sequence[str],
    upper: str = "",
    work: str = "",
    flags: int = 0,
    other: Sequence[str] = (),
) -> int:
    """Mount the layers (`lower` with the top one first) on `target`; an O_PATH fd of the new root. `other` are further
    options of overlay.

    Without `upper` it is read-only; next to a single layer `target`, which should be empty, is one too: overlay wants
    two.
    """
    with ExitStack() as opened:

        def name(path: str) -> str:
            fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            return proc_name(opened.enter_context(owned(fd)))

        layers = [*lower] if upper or len(lower) > 1 else [*lower, target]
        options = ["lowerdir=" + ":".join(name(path) for path in layers)]
        if upper:
            options += [f"upperdir={name(upper)}", f"workdir={name(work)}"]
        libc.mount("overlay", target, "overlay", flags, ",".join([*options, *other]))
    return os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def bind_in_root(root_fd: int, source: str, subpath: str, destination: str, read_only: bool) -> None:
    """Mount `source` of the host, or what is at `subpath` below it and not elsewhere, at `destination` inside the root,
    privately; its place is made if missing."""
    with owned(_opened(source, subpath)) as origin, owned(_cloned(origin)) as tree:
        make = mkdirs_in_root if stat.S_ISDIR(os.fstat(tree).st_mode) else touch_in_root
        with owned(make(root_fd, destination)) as target:
            attributes = c.MOUNT_ATTR_RDONLY if read_only else 0
            below = c.AT_EMPTY_PATH | c.AT_RECURSIVE
            libc.mount_setattr(tree, "", below, attr_set=attributes, propagation=c.MS_PRIVATE)
            libc.move_mount(tree, "", target, "", c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH)


def _opened(source: str, subpath: str) -> int:
    fd = os.open(source, os.O_PATH | os.O_CLOEXEC)
    if not subpath:
        return fd
    with owned(fd):
        return libc.openat2(fd, subpath, os.O_PATH, 0, c.RESOLVE_BENEATH | c.RESOLVE_NO_MAGICLINKS)


def _cloned(fd: int) -> int:
    return libc.open_tree(fd, "", c.OPEN_TREE_CLONE | c.AT_RECURSIVE | c.AT_EMPTY_PATH)
