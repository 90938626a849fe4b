"""`docker image prune`: which images nobody needs."""

from __future__ import annotations

from collections.abc import Sequence

from hostagent.errors import Conflict
from hostagent.image.filters import PruneFilter
from hostagent.image.removing import Facts, Removed, perform, plan
from hostagent.image.store import ImageStore
from hostagent.model.reference import Reference


def prune(store: ImageStore, facts: Facts, wanted: PruneFilter) -> tuple[Removed, int]:
    """What was done, and the bytes of the layers that are gone.

    What something still needs is passed over, where a removal without force would refuse.
    """
    whole = Removed()
    sizes = store.layer_sizes()
    records = store.records()
    parents = {record.parent for record in records}
    for record in records:
        image = store.image(record.id)
        if image is None or not wanted.fits(image):  # a parent may have gone with its child
            continue
        names = facts.names(image.id)
        if record.id in parents and (wanted.dangling or not names):
            continue
        if wanted.dangling and any(name.digest is None for name in names):
            continue
        # One without a name is removed by its ID.
        ways: Sequence[Reference | None] = names or [None]
        for asked in ways:
            if store.image(image.id) is None:
                break  # its last tag took its digests along
            try:
                steps = plan(image.id, asked, facts, force=False, prune=True, typed=str(asked))
            except Conflict:
                continue
            done = perform(store, steps)
            whole.lines += done.lines
            whole.told += done.told
            whole.keys += done.keys
    return whole, sum(sizes.get(line.deleted, 0) for line in whole.lines)
