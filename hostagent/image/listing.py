"""Which images a list shows, and what they take on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from hostagent import wire
from hostagent.image import views
from hostagent.image.filters import Filters, list_filter
from hostagent.image.store import ImageStore
from hostagent.model.image import Image
from hostagent.model.moment import created_ns


def list_images(
    store: ImageStore, image_of: Callable[[str], Image], everything: bool, filters: Filters
) -> Sequence[wire.ImageSummary]:
    """The newest first, by their own date. `everything` adds images that only have children. Raises Invalid."""
    wanted = list_filter(filters, image_of)
    records = store.records()
    parents = {record.parent for record in records}
    found: list[tuple[int, wire.ImageSummary]] = []
    for record in records:
        image = store.image(record.id)
        if image is None or not wanted.fits(image):
            continue
        names = wanted.shown(store.names(record.id), record.id in parents, everything)
        if names is not None:
            found.append((created_ns(image.created) or 0, views.summary(image, record, names)))
    # Those of one moment stay in the order of the records: the last stored first.
    found.sort(key=lambda each: each[0], reverse=True)
    return [summary for _, summary in found]


def with_shared_sizes(
    store: ImageStore, listed: Sequence[wire.ImageSummary]
) -> tuple[list[wire.ImageSummary], int]:
    """The same with the bytes that each shares with any other image, and the bytes of all layers, each counted once."""
    images = [image for record in store.records() if (image := store.image(record.id)) is not None]
    users = Counter(chain_id for image in images for chain_id in image.chain_ids)
    sizes = {chain_id: store.layer_size(chain_id) or 0 for chain_id in users}
    shared = {
        image.id: sum(sizes[chain_id] for chain_id in image.chain_ids if users[chain_id] > 1)
        for image in images
    }
    return [replace(each, shared_size=shared[each.id]) for each in listed], sum(sizes.values())
