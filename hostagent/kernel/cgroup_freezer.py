"""Stopping all processes of a group at once, and letting them go on: cgroup.freeze (Linux 5.2), or v1's freezer.

On a host with both, v2's is used, which also lets SIGKILL through. Sources: kernel docs, cgroup-v2.rst and
cgroup-v1/freezer-subsystem.rst.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator

from hostagent.kernel import control_file
from hostagent.kernel.cgroup_mounts import Hierarchy

Place = tuple[Hierarchy, str]
"""A hierarchy and the group's directory in it."""

_NOT_HERE = frozenset({errno.ENOENT, errno.ENODEV, errno.EROFS, errno.EACCES, errno.EPERM})


def freeze(places: Iterable[Place]) -> bool:
    """Begin to stop the group; False when this host has no freezer."""
    return _set(places, b"1", b"FROZEN")


def thaw(places: Iterable[Place]) -> bool:
    return _set(places, b"0", b"THAWED")


def asked(places: Iterable[Place]) -> bool:
    """Whether the group itself is to stand still, whatever the groups above it do."""
    return any(text == "1" for text in _texts(places, "cgroup.freeze", "freezer.self_freezing"))


def reached(places: Iterable[Place]) -> bool:
    """Whether every process of the group stands still."""
    texts = _texts(places, "cgroup.events", "freezer.state")
    return any(text == "FROZEN" or "frozen 1" in text.splitlines() for text in texts)


def _set(places: Iterable[Place], unified: bytes, legacy: bytes) -> bool:
    for tree, directory in places:
        if tree.unified:
            file, value = "cgroup.freeze", unified
        elif "freezer" in tree.controllers:
            file, value = "freezer.state", legacy
        else:
            continue
        try:
            control_file.write(f"{directory}/{file}", value)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            continue
        return True
    return False


def _texts(places: Iterable[Place], unified: str, legacy: str) -> Iterator[str]:
    for tree, directory in places:
        if tree.unified or "freezer" in tree.controllers:
            try:
                yield control_file.read(f"{directory}/{unified if tree.unified else legacy}").strip()
            except OSError:
                continue  # no such file on this kernel, or the group is gone
