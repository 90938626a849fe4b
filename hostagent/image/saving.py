"""`docker save`: one tar that is a docker-archive (manifest.json) and an OCI layout (index.json) at once.

Layers go out as the blobs that are stored, so what was pulled is saved bit for bit. Sources: OCI image-layout.md; moby
image/spec/spec.md.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec

from hostagent.image.crew import Crew
from hostagent.image.export import Exported, export
from hostagent.image.store import ImageStore
from hostagent.image.tar_reader import DIRECTORY, REGULAR
from hostagent.image.tar_writer import END, Header, encode, padding
from hostagent.model.image import Image
from hostagent.model.reference import Reference
from hostagent.registry import media
from hostagent.registry.manifest import Descriptor, DescriptorPlatform, Index
from hostagent.registry.manifest import encode as encode_index

CHUNK = 1 << 20  # bytes read at once
_BLOBS = "blobs/sha256/"


class _Entry(msgspec.Struct, rename="pascal"):
    """One image in manifest.json."""

    config: str
    repo_tags: list[str] | None
    layers: list[str]


async def save(
    store: ImageStore, images: Sequence[tuple[Image, Sequence[Reference]]]
) -> AsyncIterator[bytes]:
    """The archive's bytes; `images` with the names under which they shall be loaded again."""
    async with store.lease() as lease, Crew() as crew:
        exported = [(await export(store, crew, lease, image), names) for image, names in images]
        for directory in ("blobs", "blobs/sha256"):
            yield encode(Header(directory.encode() + b"/", DIRECTORY, 0o755))
        written: set[str] = set()
        for one, _ in exported:
            for digest, data in ((one.image.id, one.config), (one.digest, one.manifest)):
                if digest not in written:
                    written.add(digest)
                    yield _member(_name(digest), data)
            for layer in one.layers:
                if layer.blob.digest not in written:
                    written.add(layer.blob.digest)
                    async for piece in _file(_name(layer.blob.digest), layer.path, layer.blob.size):
                        yield piece
        yield _member("index.json", encode_index(_index(exported)))
        yield _member("manifest.json", msgspec.json.encode(_entries(exported)))
        yield _member("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        yield END


def _name(digest: str) -> str:
    return _BLOBS + digest.removeprefix("sha256:")


def _member(name: str, data: bytes) -> bytes:
    return encode(Header(name.encode(), REGULAR, size=len(data))) + data + padding(len(data))


async def _file(name: str, path: Path, size: int) -> AsyncIterator[bytes]:
    yield encode(Header(name.encode(), REGULAR, size=size))
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        offset = 0
        while offset < size:
            piece = await asyncio.to_thread(os.pread, fd, CHUNK, offset)
            if not piece:
                raise OSError(f"{path} became shorter while it was read")
            offset += len(piece)
            yield piece
    finally:
        os.close(fd)
    yield padding(size)


def _index(exported: Sequence[tuple[Exported, Sequence[Reference]]]) -> Index:
    """One descriptor per name, as OCI tools look an image up by its annotation."""
    entries: list[Descriptor] = []
    for one, names in exported:
        platform = one.image.platform
        shape = DescriptorPlatform(platform.architecture, platform.os, platform.variant)
        annotated: list[dict[str, str] | None] = [
            {"io.containerd.image.name": str(name), "org.opencontainers.image.ref.name": name.tag or ""}
            for name in names
        ]
        for notes in annotated or [None]:
            entries.append(Descriptor(one.media_type, one.digest, len(one.manifest), notes, shape))
    return Index(schema_version=2, manifests=entries, media_type=media.OCI_INDEX)


def _entries(exported: Sequence[tuple[Exported, Sequence[Reference]]]) -> list[_Entry]:
    return [
        _Entry(
            config=_name(one.image.id),
            repo_tags=[name.familiar for name in names] or None,
            layers=[_name(layer.blob.digest) for layer in one.layers],
        )
        for one, names in exported
    ]
