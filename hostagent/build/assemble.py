"""The image of a compiled stage and its layers: configuration and history, and the rows that make it one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hostagent.build import ops
from hostagent.build.compile import Compiled
from hostagent.build.results import Snapshot
from hostagent.image.config import parse_config, render_config
from hostagent.image.store import ImageStore, Lease, NewLayer, blob_key, layer_key
from hostagent.model.image import HistoryEntry, Image
from hostagent.model.moment import rfc3339
from hostagent.model.reference import Reference


def assemble(
    stage: Compiled,
    results: Mapping[ops.Op, Snapshot],
    moments: Mapping[ops.Op, int],
    made_ns: int,
    epoch: int | None,
) -> bytes:
    """The configuration's bytes. Times: of each step when it was done, of the rest `made_ns`; all `epoch` if given."""

    def moment(op: ops.Op | None) -> str:
        return rfc3339(epoch * 10**9 if epoch is not None else moments.get(op, made_ns) if op else made_ns)

    history: list[HistoryEntry] = list(stage.base.history) if stage.base else []
    layers = len(stage.base.diff_ids) if stage.base else 0
    for step in stage.steps:
        added = 0
        if step.op is not None:
            added, layers = len(results[step.op].layers) - layers, len(results[step.op].layers)
        # Several sources of one instruction are several layers; the history has an entry for each (OCI, config.md).
        for number in range(max(1, added)):
            entry = HistoryEntry(created=moment(step.op), created_by=step.text, empty_layer=number >= added)
            history.append(entry)
    return render_config(
        Image(
            id="",
            platform=stage.platform,
            config=stage.config,
            diff_ids=results[stage.op].diff_ids,
            history=tuple(history),
            created=moment(None),
            author=stage.author,
        )
    )


async def store_image(
    store: ImageStore, lease: Lease, raw: bytes, layers: Snapshot, names: Iterable[Reference]
) -> Image:
    """Write configuration and rows; the layers' files are there and are synced here."""
    image = parse_config(raw)
    lease.take(blob_key(image.id), *(layer_key(chain_id) for chain_id in layers.chain_ids))
    if store.image(image.id) is None:
        store.put_blob(raw, image.id)
        # Not for an image that is there: a sync would write the context to disk too, which is of no use any more.
        await store.sync()
    store.add(image, [NewLayer(layer.diff_id, layer.size, None) for layer in layers.layers], None, names)
    return image
