"""Which mount holds a path, and whether mounts travel from and to it (proc(5), mountinfo; mount_namespaces(7))."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Mounted:
    """One line of /proc/self/mountinfo, as far as it is asked for."""

    mountpoint: str
    shared: bool
    slave: bool


def holding(path: str) -> Mounted:
    """The mount that the absolute `path`, free of symbolic links, is on."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        mounts = [parse(line) for line in file]
    around = [
        mount for mount in mounts if path == mount.mountpoint or path.startswith(_folder(mount.mountpoint))
    ]
    # Of two on one place the later one is on top.
    return sorted(around, key=lambda mount: len(mount.mountpoint))[-1]


def parse(line: str) -> Mounted:
    """Fields: id, parent, device, root, mount point, options, optional fields, "-", ..."""
    fields = line.split(" ")
    optional = fields[6 : fields.index("-", 6)]
    return Mounted(
        mountpoint=_unescaped(fields[4]),
        shared=any(field.startswith("shared:") for field in optional),
        slave=any(field.startswith("master:") for field in optional),
    )


def _folder(path: str) -> str:
    return path if path.endswith("/") else f"{path}/"


def _unescaped(text: str) -> str:
    r"""Spaces and the like are written \040."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
