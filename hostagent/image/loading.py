"""`docker load`: an archive of images, from docker save or any OCI tool, into the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

from hostagent import wire
from hostagent.image.archive import Archive, Packed
from hostagent.image.config import host_platform
from hostagent.image.crew import Crew, Heard
from hostagent.image.fetching import LayerMaker, side_by_side
from hostagent.image.jobs import Part, Scan, Scanned
from hostagent.image.progress import Tell, layer_step
from hostagent.image.spool import spool
from hostagent.image.store import ImageStore, Lease, NewLayer, blob_key
from hostagent.model.image import Image
from hostagent.registry.manifest import digest_of


async def load(store: ImageStore, maker: LayerMaker, stream: AsyncIterator[bytes], tell: Tell) -> list[Image]:
    """Load all images of the archive, or none. Raises Invalid for a damaged one."""
    async with store.lease() as lease, Crew() as crew:
        outer = lease.scratch("spool")
        await spool(stream, outer)
        archive = await _scan(crew, lease, outer)
        packed = archive.images(host_platform())
        done = [await _one(store, maker, crew, lease, one, tell) for one in packed]
        await store.sync()
        for one, layers, manifest in done:
            store.add(one.image, layers, manifest, one.names)
            for line in [f"Loaded image: {name.familiar}" for name in one.names] or [
                f"Loaded image ID: {one.image.id}"
            ]:
                tell(wire.Progress(stream=line + "\n"))
        return [one.image for one, _, _ in done]


async def _scan(crew: Crew, lease: Lease, outer: Path) -> Archive:
    report = lease.scratch("report")
    scanned = await crew.run(Scan(str(outer), str(lease.scratch("inflated")), str(report)), Scanned)
    return Archive(scanned.path, report)


async def _one(
    store: ImageStore, maker: LayerMaker, crew: Crew, lease: Lease, packed: Packed, tell: Tell
) -> tuple[Packed, list[NewLayer], str | None]:
    """All layers and blobs of one image onto the disk."""
    image = packed.image
    lease.take(blob_key(image.id))
    store.put_blob(packed.config, image.id)

    def heard(chain_id: str) -> Heard:
        return lambda step: tell(layer_step(step, chain_id))

    async def layer(chain_id: str, diff_id: str, part: Part) -> NewLayer:
        async def source() -> Part:
            return part

        made, _ = await maker.ensure(crew, lease, chain_id, diff_id, source, keep=True, heard=heard(chain_id))
        return made

    tasks: list[Callable[[], Awaitable[NewLayer]]] = [
        partial(layer, *parts) for parts in zip(image.chain_ids, image.diff_ids, packed.layers, strict=True)
    ]
    layers = await side_by_side(tasks)
    if packed.manifest is None:
        return packed, layers, None
    digest = digest_of(packed.manifest)
    lease.take(blob_key(digest))
    store.put_blob(packed.manifest, digest)
    return packed, layers, digest
