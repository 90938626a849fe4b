"""Clean-up of the control groups below a name that a test chose, on any mix of v1 and v2 hierarchies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

ROOT = "/sys/fs/cgroup"


def remove_cgroup(relative: str, seconds: float = 5) -> None:
    """Kill what is in the group `relative` (`/name`) in every hierarchy, then remove it with its children."""
    deadline = time.monotonic() + seconds
    for root in _hierarchies():
        path = root + relative
        while os.path.isdir(path):
            for folder, _, _ in os.walk(path, topdown=False):
                _empty(folder)
                try:
                    os.rmdir(folder)
                except OSError:
                    if time.monotonic() > deadline:
                        raise
            time.sleep(0.01)


def processes(relative: str) -> set[int]:
    """PIDs in the group and below it, in any hierarchy."""
    found: set[int] = set()
    for root in _hierarchies():
        for folder, _, _ in os.walk(root + relative):
            found |= set(_members(folder))
    return found


def children(relative: str) -> list[str]:
    """Groups directly below, in all hierarchies."""
    folders = (root + relative for root in _hierarchies())
    return [
        entry.path
        for folder in folders
        if os.path.isdir(folder)
        for entry in os.scandir(folder)
        if entry.is_dir(follow_symlinks=False)
    ]


def _hierarchies() -> Iterator[str]:
    """Mount points of all hierarchies: /sys/fs/cgroup itself on v2, its folders on v1 and hybrid."""
    if os.path.exists(f"{ROOT}/cgroup.controllers"):
        yield ROOT
    else:
        yield from (entry.path for entry in os.scandir(ROOT) if entry.is_dir(follow_symlinks=False))


def _members(folder: str) -> list[int]:
    try:
        with open(f"{folder}/cgroup.procs") as file:
            return [int(line) for line in file]
    except OSError:
        return []


def _empty(folder: str) -> None:
    for pid in _members(folder):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def write(relative: str, controller: str, file: str, value: str) -> str:
    """Set a limit of a group in the hierarchy that has the controller; what it was before."""
    for root in tuple(_hierarchies()):
        path = f"{root}{relative}/{file}"
        if os.path.exists(path) and (root == ROOT or controller in os.path.basename(root).split(",")):
            with open(path) as current:
                before = current.read().strip()
            with open(path, "w") as setting:
                setting.write(value)
            return before
    raise FileNotFoundError(f"no hierarchy has {file} for {relative}")
