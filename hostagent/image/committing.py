"""`docker commit`: a container's own layer on top of its image becomes an image."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from hostagent.image.config import parse_config, render_config
from hostagent.image.crew import Crew
from hostagent.image.jobs import Applied, Snapshot
from hostagent.image.store import ImageStore, NewLayer, blob_key, layer_key
from hostagent.image.tar_writer import END
from hostagent.model.image import HistoryEntry, Image, ImageConfig, chain_ids
from hostagent.model.moment import rfc3339

EMPTY = "sha256:" + hashlib.sha256(END).hexdigest()
"""The diff ID of nothing."""


@dataclass(frozen=True)
class Commit:
    """What to make an image of: overlay's upper directory without some of its members, and what is said about it."""

    parent: Image
    upper: str
    leave_out: Sequence[bytes]
    config: ImageConfig
    created_by: str
    author: str
    comment: str


async def commit(store: ImageStore, crew: Crew, asked: Commit) -> Image:
    """The new image, without a name."""
    parent = asked.parent
    async with store.lease() as lease:
        lease.take(*(layer_key(chain_id) for chain_id in parent.chain_ids))
        scratch = lease.scratch("layer")
        (scratch / "fs").mkdir(parents=True)
        applied = await crew.run(Snapshot(asked.upper, str(scratch / "fs"), list(asked.leave_out)), Applied)
        empty = applied.diff_id == EMPTY
        diff_ids = parent.diff_ids if empty else (*parent.diff_ids, applied.diff_id)
        raw = _configuration(asked, diff_ids, empty)
        image = parse_config(raw)
        layers = [
            NewLayer(diff_id, store.layer_size(chain_id) or 0, None)
            for diff_id, chain_id in zip(parent.diff_ids, parent.chain_ids, strict=True)
        ]
        lease.take(blob_key(image.id))
        if not empty:
            chain_id = chain_ids(diff_ids)[-1]
            layers.append(NewLayer(applied.diff_id, applied.size, None))
            lease.take(layer_key(chain_id))
            if not store.has_layer(chain_id):
                store.adopt_layer(scratch, chain_id)
        store.put_blob(raw, image.id)
        await store.sync()
        store.add(image, layers, None, (), parent.id)
        return image


def _configuration(asked: Commit, diff_ids: tuple[str, ...], empty: bool) -> bytes:
    created = rfc3339(time.time_ns())
    entry = HistoryEntry(created, asked.created_by, asked.author, asked.comment, empty)
    return render_config(
        Image(
            id="",
            platform=asked.parent.platform,
            config=asked.config,
            diff_ids=diff_ids,
            history=(*asked.parent.history, entry),
            created=created,
            author=asked.author,
            comment=asked.comment,
        )
    )
