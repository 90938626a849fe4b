"""The steps of a build that change files, as a graph: each names what it is made from. Frozen, and without any state.

An op's *definition* is all that its result depends on beside its inputs; keys.py makes its cache key of both. Leaves
are equal by value. Ops with inputs are what they are: a long build would be a deep tree to compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hostagent.dockerfile.instructions import Text


@dataclass(frozen=True)
class Scratch:
    """No files at all."""


@dataclass(frozen=True)
class Base:
    """An image's layers, by diff ID from the bottom up."""

    image: str
    diff_ids: tuple[str, ...]


@dataclass(frozen=True)
class Context:
    """The files that came with the build, or a further context by its name."""

    name: str = ""


@dataclass(frozen=True)
class Remote:
    """A file from the network; `checksum` "" is any content."""

    url: str
    checksum: str = ""


@dataclass(frozen=True)
class Git:
    """A repository at a commit; `subdirectory` of it."""

    url: str
    reference: str
    subdirectory: str
    keep_git: bool
    checksum: str = ""


@dataclass(frozen=True)
class Inline:
    """Files whose content stands in the Dockerfile."""

    texts: tuple[Text, ...]
    mode: int = 0o644


MountKind = Literal["bind", "cache", "tmpfs", "secret", "ssh"]


@dataclass(frozen=True)
class Mount:
    """`RUN --mount`. `source` is an op for bind (and for a cache's first content), None otherwise."""

    kind: MountKind
    target: str
    source: Op | None = None
    path: str = "/"
    read_only: bool = True
    identity: str = ""
    """Of a cache, a secret or an SSH agent."""
    sharing: Literal["shared", "private", "locked"] = "shared"
    size: int = 0
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    required: bool = False
    variable: str | None = None
    """A secret's environment variable; then it is a file only if it has a target too."""


@dataclass(frozen=True, eq=False)
class Run:
    """A process on top of `parent`. `proxies` are in its environment, but neither in the key nor in the image."""

    parent: Op
    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    working_dir: str
    user: str
    mounts: tuple[Mount, ...] = ()
    network: str = ""
    privileged: bool = False
    proxies: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Copy:
    """Files of `source` into `parent`; `parent` Scratch makes a layer that stands alone (--link)."""

    parent: Op
    source: Op
    paths: tuple[str, ...]
    destination: str
    """Absolute; a trailing / (or several sources) makes it a directory."""
    chown: str = ""
    chmod: str = ""
    exclude: tuple[str, ...] = ()
    parents: bool = False
    unpack: bool = False
    """Archives among the files are unpacked in their place."""
    name: str = "COPY"
    """The instruction's, for messages."""


@dataclass(frozen=True, eq=False)
class MakeDirectory:
    """WORKDIR: a directory and those above it, where they are missing."""

    parent: Op
    path: str


@dataclass(frozen=True, eq=False)
class Merge:
    """A layer that was made alone, on top of others."""

    lower: Op
    upper: Op


Op = Scratch | Base | Context | Remote | Git | Inline | Run | Copy | MakeDirectory | Merge
