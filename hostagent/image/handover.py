"""Images from one host to another: what an image is made of, its layers' bytes, and taking it in.

The bytes arrive as contents (hostagent.build.contexts): resumable, and checked by their digests.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import zstandard

from hostagent.errors import Conflict, Invalid, NotFound
from hostagent.image.config import parse_config
from hostagent.image.contents import CHUNK, Contents
from hostagent.image.contextjobs import PackPlain
from hostagent.image.crew import Crew
from hostagent.image.crewpool import CrewPool
from hostagent.image.fetching import side_by_side
from hostagent.image.jobs import Done, Part
from hostagent.image.service import ImageService
from hostagent.image.store import Blob, Lease, NewLayer, blob_key, layer_key
from hostagent.model.image import Image
from hostagent.model.reference import Reference, is_digest
from hostagent.registry.manifest import Manifest, digest_of, parse
from hostagent.wire.handover import ImageLacks, ImageLayer, ImageParts


class Handover:
    """`contents` is the directory of hostagent.build.contexts."""

    def __init__(self, images: ImageService, crews: CrewPool, contents: Path) -> None:
        self._images = images
        self._crews = crews
        self._store = images.store
        self._files = str(contents / "files")
        self._parts = contents / "parts"

    def parts(self, name: str) -> ImageParts:
        """Everything but the bytes. Raises NotFound."""
        image = self._images.resolve(name)
        manifest = self._manifest(image)
        wanted = [layer.digest for layer in manifest[1].layers] if manifest else [""] * len(image.diff_ids)
        layers = [self._layer(*pair) for pair in zip(image.diff_ids, wanted, strict=True)]
        whole = manifest is not None and [layer.digest for layer in layers] == wanted
        return ImageParts(
            id=image.id,
            config=self._store.read_blob(image.id),
            manifest=manifest[0] if manifest is not None and whole else b"",
            names=[str(each) for each in self._names(name, image, digests=whole)],
            layers=layers,
        )

    async def read(self, name: str, digest: str, offset: int) -> AsyncIterator[bytes]:
        """The bytes of a layer as `parts` names it, from `offset`, packed by zstd. Raises NotFound."""
        image = self._images.resolve(name)
        async with self._store.lease() as lease:
            lease.take(blob_key(digest), *(layer_key(chain_id) for chain_id in image.chain_ids))
            path = self._store.blob(digest)
            if digest in image.diff_ids and not self._store.has_blob(digest):
                chain_id = image.chain_ids[image.diff_ids.index(digest)]
                path = lease.scratch("layer-tar")
                async with self._crews.crew() as crew:
                    await crew.run(PackPlain(str(self._store.layer(chain_id)), str(path), digest), Done)
            elif not any(
                blob.digest == digest
                for diff_id in image.diff_ids
                for blob in self._store.layer_blobs(diff_id)
            ):
                raise NotFound(f"{name} has no layer {digest}")
            async for piece in _packed(path, offset):
                yield piece

    async def take(self, parts: ImageParts) -> ImageLacks:
        """The image becomes one of this host's, if all of its layers are here; else what is missing. Raises Invalid."""
        image, blobs = _checked(parts)
        contents = Contents(self._files)
        missing = [
            layer.digest
            for chain_id, layer in zip(image.chain_ids, parts.layers, strict=True)
            if not (
                self._store.has_layer(chain_id)
                or self._store.has_blob(layer.digest)
                or contents.find(_hex(layer.digest))
            )
        ]
        if missing:
            return ImageLacks(missing=missing, begun=dict(self._begun(missing)))
        async with self._store.lease() as lease, self._crews.crew() as crew:
            await self._add(parts, image, blobs, crew, lease)
        for layer in parts.layers:
            if name := contents.find(_hex(layer.digest)):
                path = f"{self._files}/{name[:2]}/{name}"
                if os.path.exists(path) and "." not in name:  # no context has it
                    os.unlink(path)
        return ImageLacks()

    def _begun(self, digests: list[str]) -> list[tuple[str, int]]:
        paths = [(digest, self._parts / _hex(digest)) for digest in digests]
        return [(digest, path.stat().st_size) for digest, path in paths if path.exists()]

    async def _add(
        self, parts: ImageParts, image: Image, blobs: list[Blob | None], crew: Crew, lease: Lease
    ) -> None:
        store = self._store
        lease.take(blob_key(image.id))
        store.put_blob(parts.config, image.id)
        layers = await side_by_side(
            partial(self._unpack, crew, lease, *each)
            for each in zip(image.chain_ids, image.diff_ids, parts.layers, blobs, strict=True)
        )
        manifest = None
        if parts.manifest:
            manifest = digest_of(parts.manifest)
            lease.take(blob_key(manifest))
            store.put_blob(parts.manifest, manifest)
        await store.sync()
        names = [Reference.parse(name, default_tag=False) for name in parts.names]
        self._images.received(image, layers, manifest, names)

    async def _unpack(
        self, crew: Crew, lease: Lease, chain_id: str, diff_id: str, layer: ImageLayer, blob: Blob | None
    ) -> NewLayer:
        store = self._store
        if blob is not None:
            lease.take(blob_key(blob.digest))

        async def source() -> Part:
            if blob is not None and store.has_blob(blob.digest):
                return Part(str(store.blob(blob.digest)))
            digest = _hex(layer.digest)
            name = Contents(self._files).find(digest)
            if name is None:
                raise Conflict(f"the layer {layer.digest} is not here any more: send it again")
            path = f"{self._files}/{digest[:2]}/{name}"
            if blob is None:
                return Part(path)
            link = lease.scratch("blob")
            os.link(path, link)
            store.adopt_blob(link, blob.digest)
            return Part(str(store.blob(blob.digest)))

        made, _ = await self._images.maker.ensure(
            crew, lease, chain_id, diff_id, source, keep=False, blob=blob
        )
        return made

    def _manifest(self, image: Image) -> tuple[bytes, Manifest] | None:
        digest = self._store.record(image.id).manifest
        if digest is None or not self._store.has_blob(digest):
            return None
        raw = self._store.read_blob(digest)
        manifest = parse(raw)
        return (raw, manifest) if isinstance(manifest, Manifest) else None

    def _layer(self, diff_id: str, wanted: str) -> ImageLayer:
        """As the blob that came, the manifest's own if it is there; as canonical tar what was made on this host."""
        blobs = [blob for blob in self._store.layer_blobs(diff_id) if self._store.has_blob(blob.digest)]
        blob = next((blob for blob in blobs if blob.digest == wanted), None) or next(iter(blobs), None)
        if blob is None:
            return ImageLayer(digest=diff_id, diff_id=diff_id)
        return ImageLayer(digest=blob.digest, diff_id=diff_id, media_type=blob.media_type, size=blob.size)

    def _names(self, asked: str, image: Image, *, digests: bool) -> list[Reference]:
        """The name that was asked for, and with its manifest the digests under which registries have it."""
        known = self._store.names(image.id)
        tags = [name for name in known if name.digest is None and name == Reference.parse(asked)]
        return [*tags, *(name for name in known if digests and name.digest is not None)]


def _checked(parts: ImageParts) -> tuple[Image, list[Blob | None]]:
    """The image, and which blob each layer comes as. Raises Invalid for parts that do not fit each other."""
    if "sha256:" + hashlib.sha256(parts.config).hexdigest() != parts.id:
        raise Invalid("the image's configuration is not that of its ID")
    image = parse_config(parts.config)
    if [layer.diff_id for layer in parts.layers] != list(image.diff_ids):
        raise Invalid("the image's layers are not those of its configuration")
    if not all(is_digest(layer.digest) for layer in parts.layers):
        raise Invalid("the image has a layer without a digest")
    if parts.manifest:
        manifest = parse(parts.manifest)
        if not isinstance(manifest, Manifest) or [each.digest for each in manifest.layers] != [
            layer.digest for layer in parts.layers
        ]:
            raise Invalid("the image's manifest is not that of its layers")
    return image, [
        Blob(layer.diff_id, layer.digest, layer.media_type, layer.size) if layer.media_type else None
        for layer in parts.layers
    ]


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


async def _packed(path: Path, offset: int) -> AsyncIterator[bytes]:
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    with open(path, "rb", buffering=0) as file:
        file.seek(offset)
        while piece := await asyncio.to_thread(file.read, CHUNK):
            if packed := await asyncio.to_thread(packer.compress, piece):
                yield packed
    yield packer.flush()
