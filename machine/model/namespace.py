"""Network namespaces, by which one Linux laptop may be several: what is reachable in one is not in another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def network_namespace() -> str:
    """Identity of the one that we are in ("net:[4026531840]", namespaces(7)); empty where there are none."""
    try:
        return os.readlink("/proc/self/ns/net")
    except OSError:
        return ""


def find_network_namespace(identity: str) -> Path | None:
    """A file by which it can be entered; None: it is gone, or cannot be seen from here."""
    inode = identity.removeprefix("net:[").removesuffix("]")
    for path in _candidates():
        try:
            if str(path.stat().st_ino) == inode:
                return path
        except OSError:
            continue  # the process has ended meanwhile
    return None


def _candidates() -> Iterator[Path]:
    yield from Path("/run/netns").glob("*")
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            yield process / "ns/net"
