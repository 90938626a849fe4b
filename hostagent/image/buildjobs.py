"""What the daemon asks of a worker for a build: digests and copies of files, and directories."""

from __future__ import annotations

import msgspec


class Layers(msgspec.Struct, frozen=True, tag=True):
    """The files of a stack of layers, the top one first; none is an empty root."""

    lower: list[str]


class Directory(msgspec.Struct, frozen=True, tag=True):
    """The files below a directory of the host; `manifest`: the list of what is in it (hostagent.image.contextjobs), if
    there is one, from which digests can be had without reading the files."""

    path: str
    manifest: str = ""


class Archive(msgspec.Struct, frozen=True, tag=True):
    """The files of a tar as ReceiveContext left it; of those in its root not `without`."""

    path: str
    index: str
    without: list[str] = []


Files = Layers | Directory | Archive


class Selection(msgspec.Struct, frozen=True):
    """Some files: `paths` may have wildcards; below them what `exclude` names is left out."""

    files: Files
    paths: list[str]
    exclude: list[str] = []
    parents: bool = False
    """The paths themselves are kept, from a component `.` on: a/./b/c is b/c."""


class Stage(msgspec.Struct, frozen=True):
    """Where a new layer comes to be: on top of `lower` (the top one first), in the empty directory `upper`."""

    lower: list[str]
    upper: str
    work: str
    mountpoint: str


class DigestFiles(msgspec.Struct, frozen=True, tag=True):
    """Hash what a copy would take; not its times. Answer: Digested. `mountpoint`: an empty directory to use."""

    selection: Selection
    mountpoint: str


class CopyFiles(msgspec.Struct, frozen=True, tag=True):
    """Copy files into a new layer. Answer: Done.

    `destination` is absolute; with a / at its end it is a directory. `chown`: `user[:group]`, names or numbers of the
    new layer's root, "" keeps owners; `chmod`: octal or symbolic, "" keeps modes. `unpack`: archives become what is in
    them.
    """

    stage: Stage
    selection: Selection
    mountpoint: str
    destination: str
    chown: str = ""
    chmod: str = ""
    unpack: bool = False


class MakeDirectories(msgspec.Struct, frozen=True, tag=True):
    """Make a directory and those above it, where they are missing. Answer: Done."""

    stage: Stage
    path: str


class ReceiveContext(msgspec.Struct, frozen=True, tag=True):
    """Read the body of a request from the inherited socket `fd` (hostagent.model.stream.Incoming): a tar, compressed or
    not. Answer: Received.

    It becomes the new file `spool`, uncompressed, and the list of what is in it `index`. Regular files of the paths
    `wanted` are written to `into`/0, `into`/1 and so on, if they are there.
    """

    fd: int
    early: bytes
    length: int
    spool: str
    index: str
    wanted: list[str]
    into: str


class UnpackContext(msgspec.Struct, frozen=True, tag=True):
    """Unpack a tar, compressed or not, into the empty directory `into`; all is root's. Answer: Done."""

    path: str
    into: str


class FinishLayer(msgspec.Struct, frozen=True, tag=True):
    """Make a layer of an upper directory that nobody uses any more. Answer: Finished.

    What says nothing (mount points, directories in which nothing has changed against `lower`) is removed; with `epoch`
    (seconds, -1 for none) no modification time is later. `stubs`: paths of mounts that the layer was used with, whose
    places go too if they are empty; that takes `mountpoint`, an empty directory.
    """

    upper: str
    lower: list[str]
    epoch: int = -1
    stubs: list[str] = []
    mountpoint: str = ""


BuildJob = ReceiveContext | UnpackContext | DigestFiles | CopyFiles | MakeDirectories | FinishLayer


class Download(msgspec.Struct, frozen=True, tag=True):
    """Fetch a file by HTTP into the empty directory `into`. Answer: Downloaded. `checksum` "" is any content."""

    url: str
    into: str
    checksum: str = ""


class Clone(msgspec.Struct, frozen=True, tag=True):
    """Fetch a commit of a git repository into the empty directory `into`. Answer: Done.

    `reference` is a branch, a tag or a commit, "" what the repository itself names; `checksum` begins the commit's.
    """

    url: str
    into: str
    reference: str = ""
    keep_git: bool = False
    checksum: str = ""


DownloadJob = Download | Clone


class Downloaded(msgspec.Struct, frozen=True, tag=True):
    """`size` in bytes of the file `name`."""

    name: str
    size: int


class Received(msgspec.Struct, frozen=True, tag=True):
    """`size` in bytes of the tar. Not `plain`: it cannot be used as it is (links on the way to members, members twice,
    devices, directories that are not listed): there is no index, and it has to be unpacked."""

    size: int
    plain: bool


class Digested(msgspec.Struct, frozen=True, tag=True):
    """`digest` of the selection; `count` of its entries."""

    digest: str
    count: int


class Finished(msgspec.Struct, frozen=True, tag=True):
    """`empty`: nothing has changed. `size` in bytes of its regular files."""

    diff_id: str
    size: int
    empty: bool
