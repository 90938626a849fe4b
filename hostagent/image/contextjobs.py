"""What the daemon asks of a worker about contents: of contexts of builds, of layers that travel. Paths are absolute."""

from __future__ import annotations

import msgspec


class FindMissing(msgspec.Struct, frozen=True, tag=True):
    """Which contents of a manifest are not among `files`: written to `report` as JSON of a wire.ContextLacks.

    Raises Invalid for a manifest that is not one. Answer: Done. `parts`: where half contents are.
    """

    manifest: str
    files: str
    parts: str
    report: str


class StoreContents(msgspec.Struct, frozen=True, tag=True):
    """Take contents out of a stream of frames (wire.context.FRAME), the body in the inherited socket `fd`
    (hostagent.model.stream.Incoming), which may break off anywhere. Answer: Done.

    Raises Invalid for a content that is not what its digest says; all before it are kept. `own` is an empty directory,
    for what nobody else shall write to meanwhile.
    """

    fd: int
    early: bytes
    length: int
    own: str
    files: str
    parts: str


class MakeContext(msgspec.Struct, frozen=True, tag=True):
    """Make the tree of a manifest below `slot`, out of the one that is there. Answer: Done.

    Raises Conflict when contents are missing. The tree is complete when `slot`/id is there.
    """

    manifest: str
    files: str
    slot: str
    id: str


class PackPlain(msgspec.Struct, frozen=True, tag=True):
    """Write a layer's directory as canonical tar, uncompressed, into the new file `into`. Answer: Done.

    Raises EngineError when that is not what `diff_id` says.
    """

    directory: str
    into: str
    diff_id: str


ContextJob = FindMissing | StoreContents | MakeContext | PackPlain
