"""Make one directory the whole world of this process, so that no path in an archive can lead out of it."""

from __future__ import annotations

import importlib.abc
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from hostagent.kernel import constants as c
from hostagent.kernel import libc


class _NoImports(importlib.abc.MetaPathFinder):
    """Refuses: what the search path names inside a jail was put there by somebody else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        raise ImportError(
            f"{fullname} was not imported before the jail: from inside nothing can be", name=fullname
        )


def forbid_imports() -> None:
    """From here on an import fails instead of running code from a container's files. For good."""
    sys.meta_path[:] = [_NoImports()]


def own_namespace() -> None:
    """A mount namespace of our own, from which no mount travels. Needs CAP_SYS_ADMIN."""
    libc.unshare(c.CLONE_NEWNS)
    libc.mount(None, "/", None, c.MS_REC | c.MS_PRIVATE)


def pivot(root: str) -> None:
    """Make the mount at `root` the only thing there is. For good."""
    forbid_imports()
    os.chdir(root)
    # The old root is stacked on the new one and taken away at once: pivot_root(2), "pivot_root(".", ".")".
    libc.pivot_root(".", ".")
    libc.umount2(".", c.MNT_DETACH)
    os.chdir("/")


def enter(directory: str) -> None:
    """Own mount namespace, `directory` as root, nothing else mounted. For good; needs CAP_SYS_ADMIN."""
    own_namespace()
    libc.mount(directory, directory, None, c.MS_BIND)
    pivot(directory)
