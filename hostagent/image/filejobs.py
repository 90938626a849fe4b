"""What the daemon asks of a worker about a container's files, which stream over pipes.

`into` and `source` are names of such pipes' ends (/proc/PID/fd/N of the daemon; proc(5)): a worker that is used again
and again holds none of them open.
"""

from __future__ import annotations

import msgspec


class Bind(msgspec.Struct, frozen=True):
    """Something of the host's, an absolute path, at a place in the container; or what is at `subpath` below it."""

    source: str
    destination: str
    read_only: bool = False
    subpath: str = ""


class RunningRoot(msgspec.Struct, frozen=True, tag=True):
    """The files as the container's process `pid` sees them; its cgroup's name has the ID `container` in it.

    A job raises Unavailable, before anything else, when that process is no more.
    """

    pid: int
    container: str


class StoppedRoot(msgspec.Struct, frozen=True, tag=True):
    """The layers (`lower` with the top one first) and binds, to be mounted; nobody else mounts `upper` meanwhile."""

    lower: list[str]
    upper: str
    work: str
    mountpoint: str
    binds: list[Bind]


class DirectoryRoot(msgspec.Struct, frozen=True, tag=True):
    """A directory of the host's and what is below it, without what is mounted there: a volume."""

    path: str


Root = RunningRoot | StoppedRoot | DirectoryRoot


class StatPath(msgspec.Struct, frozen=True, tag=True):
    """Write a wire.PathStat as a JSON line to the pipe `into`. Answer: Done; NotFound if nothing is there."""

    root: Root
    path: str
    into: str


class CopyOut(msgspec.Struct, frozen=True, tag=True):
    """The same, followed by `path` and all below it as tar. Answer: Done."""

    root: Root
    path: str
    into: str


class CopyIn(msgspec.Struct, frozen=True, tag=True):
    """Unpack the tar `source` into the directory `path`. Answer: Done; NotFound when that is not there.

    `writable`: mount points below which the container may write; `read_only`: those below which it may not. The
    longest one decides; below none `read_only_root` does. `owner`: a name in the container's /etc/passwd that gets
    all files; "" = as in the archive. `keep_kinds`: a directory is no file's place, nor the other way round.
    `with_top`: the archive's own top gives `path` its owner, mode and attributes.
    """

    root: Root
    path: str
    source: str
    writable: list[str]
    read_only: list[str]
    read_only_root: bool
    owner: str
    keep_kinds: bool
    with_top: bool = False


class Export(msgspec.Struct, frozen=True, tag=True):
    """The whole root without its mounts as tar. Answer: Done.

    `faithful`: with all extended attributes, parts of seconds, and the root directory itself, as `docker export` has
    them not.
    """

    root: Root
    into: str
    faithful: bool = False


FileJob = StatPath | CopyOut | CopyIn | Export
