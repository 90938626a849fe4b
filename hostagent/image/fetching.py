"""What load, import and pull share: get the layers of one image onto the disk, then commit it in one go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

from hostagent.image.crew import Crew, Heard
from hostagent.image.jobs import Applied, Apply, Part
from hostagent.image.store import Blob, ImageStore, Lease, NewLayer, blob_key, layer_key

ResultT = TypeVar("ResultT")

PARALLEL = 4  # layers in the works at once, per operation
DOWNLOADS = 3  # at once, of all pulls: docker's own number


class Locks:
    """One lock per `layer_key` or `blob_key`, while it is wanted: two operations do not make the same thing twice.

    The bottom layer of an uncompressed image has one digest as blob, diff ID and chain ID: hence keys, not digests.
    """

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)


class LayerMaker:
    """Unpacks layers to their places. Sizes of layers made by an operation under way are remembered for others."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self.locks = Locks()
        self.downloads = asyncio.Semaphore(DOWNLOADS)
        self._made: dict[str, NewLayer] = {}

    async def ensure(
        self,
        crew: Crew,
        lease: Lease,
        chain_id: str,
        diff_id: str,
        source: Callable[[], Awaitable[Part]],
        *,
        keep: bool,
        blob: Blob | None = None,
        heard: Heard | None = None,
    ) -> tuple[NewLayer, bool]:
        """The layer, and whether it was there already. `source` is asked for only when it was not.

        `keep`: store the source's bytes as a blob too (compressed if they are not).
        """
        store = self._store
        lease.take(layer_key(chain_id))
        async with self.locks.hold(layer_key(chain_id)):
            if store.has_layer(chain_id):
                size = store.layer_size(chain_id)
                if size is not None:
                    self._made.pop(chain_id, None)
                    # The asked blob may never have been fetched: another one unpacked to this layer.
                    known = [blob, *store.layer_blobs(diff_id)]
                    stored = next((each for each in known if each and store.has_blob(each.digest)), None)
                    if stored is not None:
                        lease.take(blob_key(stored.digest))
                    return NewLayer(diff_id, size, stored), True
                if chain_id in self._made:
                    return self._made[chain_id], True
            part = await source()
            scratch = lease.scratch("layer")
            kept = lease.scratch("blob") if keep else None
            (scratch / "fs").mkdir(parents=True)
            job = Apply(part, str(scratch / "fs"), diff_id, str(kept) if kept else None)
            applied = await crew.run(job, Applied, heard)
            if kept is not None:
                lease.take(blob_key(applied.stored))
                store.adopt_blob(kept, applied.stored)
                blob = Blob(diff_id, applied.stored, applied.stored_type, applied.stored_size)
            store.adopt_layer(scratch, chain_id)
            layer = NewLayer(diff_id, applied.size, blob)
            self._made[chain_id] = layer
            return layer, False


async def side_by_side(
    tasks: Iterable[Callable[[], Awaitable[ResultT]]], limit: int = PARALLEL
) -> list[ResultT]:
    """Results in the order of `tasks`, `limit` running at once; the first failure stops the rest and is raised."""
    room = asyncio.Semaphore(limit)

    async def one(task: Callable[[], Awaitable[ResultT]]) -> ResultT:
        async with room:
            return await task()

    try:
        async with asyncio.TaskGroup() as group:
            started = [group.create_task(one(task)) for task in tasks]
    except BaseExceptionGroup as failures:
        # A caller wants the reason, not the group: the others were cancelled because of the first.
        error: BaseException = failures
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
    return [task.result() for task in started]
