"""Limits of a group that exists: which hierarchy takes which, in what order, and what is said when one does not.

A host that lacks something (a controller, a file, the right to write it) is warned about: hosts inside containers
have fewer rights than a bare one. A value that the kernel refuses is an error.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from hostagent.kernel import cgroup_devices, control_file
from hostagent.kernel.cgroup_files import Write, writes_unified, writes_v1, writes_v2
from hostagent.kernel.cgroup_mounts import Hierarchy
from hostagent.kernel.resources import Resources

Place = tuple[Hierarchy, str]
"""A hierarchy and the group's directory in it."""

_LACKING = frozenset({errno.ENOENT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EOPNOTSUPP})


class RefusedLimit(OSError):
    """The kernel does not take this value for this group."""

    def __init__(self, number: int, path: str, value: str, reason: str) -> None:
        super().__init__(number, reason, path)
        self.value = value

    def __str__(self) -> str:
        reason = os.strerror(self.errno or 0).lower()
        return f'error setting cgroup config: failed to write "{self.value}": write {self.filename}: {reason}'


class _Undo:
    """What the files held before."""

    def __init__(self) -> None:
        self._before: list[tuple[str, str]] = []

    def remember(self, path: str) -> None:
        try:
            self._before.append((path, control_file.read(path).strip()))
        except OSError:
            return  # no such file, or one that is for writing only: the write itself says what is wrong

    def run(self) -> None:
        # Twice, as memory and memory+swap of v1 may each bar the other's way back.
        for path, value in [*reversed(self._before), *reversed(self._before)]:
            try:
                control_file.write(path, value.encode())
            except OSError:
                continue


def apply(places: Sequence[Place], resources: Resources, undo: bool = False) -> list[str]:
    """Write the limits; warnings for what this host lacks. Raises RefusedLimit, and with `undo` after writing back what
    the files held before."""
    memory = _Undo() if undo else None
    try:
        return _apply(places, resources, memory)
    except RefusedLimit:
        if memory:
            memory.run()
        raise


def _apply(places: Sequence[Place], resources: Resources, undo: _Undo | None) -> list[str]:
    warnings: list[str] = []
    v2 = next((directory for tree, directory in places if tree.unified), None)
    enabled = _controllers(v2) if v2 else frozenset()
    v1 = {name: directory for tree, directory in places for name in tree.controllers}
    refused: list[Write] = []
    for write in writes_v1(resources):
        if write.controller in v1:
            try:
                _write(v1[write.controller], write, warnings, undo)
            except RefusedLimit:
                refused.append(write)
    # v1 refuses memory above memory+swap, and a quota above its period's: the first goes through after the second.
    for write in refused:
        _write(v1[write.controller], write, warnings, undo)
    if v2 and resources.devices and "devices" not in v1:
        _limit_devices(v2, resources, warnings)
    for write in writes_v2(resources):
        if v2 and write.controller in enabled:
            _write(v2, write, warnings, undo)
        elif write.controller not in v1 and not (write.controller == "io" and "blkio" in v1):
            warnings.append(f"{write.file} not set: this host has no {write.controller} controller")
    for write in writes_unified(resources):
        if v2 and (write.controller in enabled or write.controller == "cgroup"):
            _write(v2, write, warnings, undo)
        else:
            warnings.append(
                f"{write.file} not set: this host has no {write.controller} controller of cgroup v2"
            )
    return warnings


def _write(directory: str, write: Write, warnings: list[str], undo: _Undo | None) -> None:
    path = f"{directory}/{write.file}"
    if undo:
        undo.remember(path)
    try:
        control_file.write(path, write.value.encode())
    except OSError as error:
        if error.errno == errno.ENOENT and write.instead:
            _write(directory, write.instead, warnings, undo)
        elif error.errno == errno.ENOENT:
            warnings.append(f"{write.file} not set: this kernel has no such control")
        elif (
            error.errno in _LACKING and write.controller != "cpuset"
        ):  # which says EACCES for "not in the parent"
            warnings.append(f"{write.file} = {write.value} not set: {error.strerror}")
        else:
            raise RefusedLimit(error.errno or 0, path, write.value, str(error.strerror)) from None


def _limit_devices(directory: str, resources: Resources, warnings: list[str]) -> None:
    try:
        cgroup_devices.attach(directory, resources.devices)
    except OSError as error:
        warnings.append(f"access to devices is not limited: {error.strerror or error}")


def _controllers(directory: str) -> frozenset[str]:
    try:
        return frozenset(control_file.read(f"{directory}/cgroup.controllers").split())
    except OSError:
        return frozenset()
