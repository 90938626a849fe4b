"""What push and save share: an image's layers as blobs, and the manifest that names them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hostagent.errors import EngineError
from hostagent.image.crew import Crew
from hostagent.image.fetching import side_by_side
from hostagent.image.jobs import Pack
from hostagent.image.jobs import Packed as PackedAnswer
from hostagent.image.store import Blob, ImageStore, Lease, blob_key, layer_key
from hostagent.model.image import Image
from hostagent.registry import media
from hostagent.registry.manifest import Descriptor, Manifest, digest_of, encode, parse


@dataclass(frozen=True)
class LayerFile:
    """A layer as it is pushed or saved: the file that holds it may be temporary."""

    blob: Blob
    path: Path


@dataclass(frozen=True)
class Exported:
    """Everything of one image that goes out."""

    image: Image
    config: bytes
    layers: tuple[LayerFile, ...]
    manifest: bytes
    media_type: str

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)


async def export(store: ImageStore, crew: Crew, lease: Lease, image: Image) -> Exported:
    """Find the blobs of all layers; pack those that have none. The stored manifest if its blobs are all here."""
    lease.take(blob_key(image.id), *(layer_key(chain_id) for chain_id in image.chain_ids))
    config = store.read_blob(image.id)
    kept = _stored_manifest(store, image)
    wanted = [layer.digest for layer in kept[1].layers] if kept else [""] * len(image.diff_ids)

    async def layer(chain_id: str, diff_id: str, digest: str) -> LayerFile:
        blobs = [blob for blob in store.layer_blobs(diff_id) if store.has_blob(blob.digest)]
        blob = next((blob for blob in blobs if blob.digest == digest), None) or next(iter(blobs), None)
        if blob is None:
            return await _pack(store, crew, lease, chain_id, diff_id)
        lease.take(blob_key(blob.digest))
        return LayerFile(blob, store.blob(blob.digest))

    parts = zip(image.chain_ids, image.diff_ids, wanted, strict=True)
    layers = await side_by_side(partial(layer, *each) for each in parts)
    if kept is not None and [layer.blob.digest for layer in layers] == wanted:
        return Exported(image, config, tuple(layers), kept[0], kept[1].media_type or media.OCI_MANIFEST)
    manifest = describe(image.id, len(config), [layer.blob for layer in layers])
    return Exported(image, config, tuple(layers), encode(manifest), manifest.media_type)


def _stored_manifest(store: ImageStore, image: Image) -> tuple[bytes, Manifest] | None:
    digest = store.record(image.id).manifest
    if digest is None or not store.has_blob(digest):
        return None
    raw = store.read_blob(digest)
    manifest = parse(raw)
    assert isinstance(manifest, Manifest)
    return raw, manifest


async def _pack(store: ImageStore, crew: Crew, lease: Lease, chain_id: str, diff_id: str) -> LayerFile:
    """A local layer's canonical tar, compressed, as a temporary file."""
    path = lease.scratch("blob")
    packed = await crew.run(Pack(str(store.layer(chain_id)), str(path)), PackedAnswer)
    if packed.diff_id != diff_id:
        raise EngineError(
            f"the layer {diff_id} was changed on the engine's disk (it is {packed.diff_id} now): "
            "remove the image and make it again"
        )
    return LayerFile(Blob(diff_id, packed.stored, media.LAYER_GZIP, packed.stored_size), path)


def describe(image_id: str, config_size: int, blobs: list[Blob]) -> Manifest:
    """A manifest for blobs: Docker's schema 2, which the oldest registries take, or OCI's when one is not gzip."""
    if all(media.is_gzip(blob.media_type) for blob in blobs):
        return Manifest(
            schema_version=2,
            media_type=media.DOCKER_MANIFEST,
            config=Descriptor(media.DOCKER_CONFIG, image_id, config_size),
            layers=[Descriptor(media.LAYER_GZIP, blob.digest, blob.size) for blob in blobs],
        )
    return Manifest(
        schema_version=2,
        media_type=media.OCI_MANIFEST,
        config=Descriptor(media.OCI_CONFIG, image_id, config_size),
        layers=[
            Descriptor(
                media.OCI_LAYER_GZIP if media.is_gzip(blob.media_type) else blob.media_type,
                blob.digest,
                blob.size,
            )
            for blob in blobs
        ],
    )
