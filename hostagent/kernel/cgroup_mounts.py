"""Which cgroup hierarchies this host has: v1, v2 or both, wherever they are mounted (read from mountinfo)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

V1_CONTROLLERS = frozenset(
    (
        "blkio",
        "cpu",
        "cpuacct",
        "cpuset",
        "devices",
        "freezer",
        "hugetlb",
        "memory",
        "misc",
        "net_cls",
        "net_prio",
        "perf_event",
        "pids",
        "rdma",
    )
)


@dataclass(frozen=True)
class Hierarchy:
    """One mounted tree. `controllers` names a v1 tree's controllers, or "name=systemd"; it is empty for v2,
    whose controllers are told by cgroup.controllers in each directory."""

    mountpoint: str
    unified: bool
    controllers: tuple[str, ...] = ()


def parse(mountinfo: str) -> tuple[Hierarchy, ...]:
    """Hierarchies in a /proc/PID/mountinfo text (proc(5)), each once; v2 first."""
    found: dict[tuple[str, ...], Hierarchy] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, rest = left.split(" "), right.split(" ")
        if rest[0] == "cgroup2":
            found.setdefault((), Hierarchy(_unescape(fields[4]), unified=True))
        elif rest[0] == "cgroup":
            names = tuple(o for o in rest[2].split(",") if o in V1_CONTROLLERS or o.startswith("name="))
            if names:
                found.setdefault(names, Hierarchy(_unescape(fields[4]), unified=False, controllers=names))
    return tuple(sorted(found.values(), key=lambda h: (not h.unified, h.controllers)))


@lru_cache(maxsize=1)
def hierarchies() -> tuple[Hierarchy, ...]:
    """Those of this process's mount namespace, read once: a host does not change them while it runs."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return parse(file.read())


def _unescape(text: str) -> str:
    """Spaces and the like are octal in mountinfo (proc(5))."""
    if "\\" not in text:
        return text
    for code in ("040", "011", "012", "134"):
        text = text.replace(f"\\{code}", chr(int(code, 8)))
    return text
