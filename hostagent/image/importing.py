"""`docker import`: a tar of a root file system becomes an image of one layer.

The layer is local: its diff ID is that of its canonical tar, so nothing but the directory has to be kept.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence

from hostagent.image.changes import apply_changes
from hostagent.image.config import host_platform, parse_config, render_config
from hostagent.image.crew import Crew
from hostagent.image.jobs import Applied, Apply, Pack, Packed, Part
from hostagent.image.spool import spool
from hostagent.image.store import ImageStore, NewLayer, blob_key, layer_key
from hostagent.model.image import HistoryEntry, Image, ImageConfig, Platform, chain_ids
from hostagent.model.reference import Reference


async def import_archive(
    store: ImageStore,
    stream: AsyncIterator[bytes],
    reference: Reference | None,
    message: str,
    changes: Sequence[str],
) -> Image:
    """The new image, named `reference` if given. Raises Invalid for what is no tar or a bad change."""
    config = apply_changes(ImageConfig(), changes)  # before the upload, which may be long
    async with store.lease() as lease, Crew() as crew:
        outer, scratch = lease.scratch("spool"), lease.scratch("layer")
        await spool(stream, outer)
        (scratch / "fs").mkdir(parents=True)
        applied = await crew.run(Apply(Part(str(outer)), str(scratch / "fs")), Applied)
        packed = await crew.run(Pack(str(scratch / "fs")), Packed)
        (chain_id,) = chain_ids((packed.diff_id,))
        created = _now()
        host = host_platform()
        raw = render_config(
            Image(
                id="",
                platform=Platform(host.os, host.architecture),
                config=config,
                diff_ids=(packed.diff_id,),
                history=(HistoryEntry(created=created, comment=message),),
                created=created,
                comment=message,
            )
        )
        image = parse_config(raw)
        lease.take(layer_key(chain_id), blob_key(image.id))
        if not store.has_layer(chain_id):
            store.adopt_layer(scratch, chain_id)
        store.put_blob(raw, image.id)
        await store.sync()
        names = [reference] if reference is not None else []
        store.add(image, [NewLayer(packed.diff_id, applied.size, None)], None, names)
        return image


def _now() -> str:
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"
