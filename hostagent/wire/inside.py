"""What is in a container, on the wire: its files, its processes, what has changed (API 1.24-1.47)."""

from __future__ import annotations

from hostagent.wire.base import Wire, shown


class PathStat(Wire, frozen=True, kw_only=True):
    """The X-Docker-Container-Path-Stat header of /containers/{id}/archive, in base64.

    `mode` has Go's bits (directory 1<<31, symbolic link 1<<27), `mtime` is RFC 3339.
    """

    name: str = shown("", "name")
    size: int = shown(0, "size")
    mode: int = shown(0, "mode")
    mtime: str = shown("", "mtime")
    link_target: str = shown("", "linkTarget")


class FilesystemChange(Wire, frozen=True, kw_only=True):
    """Entry of GET /containers/{id}/changes; kind 0 is changed, 1 added, 2 deleted."""

    path: str = shown("")
    kind: int = shown(0)


class Top(Wire, frozen=True, kw_only=True):
    """Answer of GET /containers/{id}/top: the columns of ps, and a row for each process."""

    titles: list[str] = shown([])
    processes: list[list[str]] = shown([])
