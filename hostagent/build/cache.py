"""Results of earlier steps: rows in SQLite that keep their layers from being swept."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from hostagent.build.results import Layer, Snapshot
from hostagent.build.solver import Entry
from hostagent.image.store import ImageStore, layer_key
from hostagent.model.moment import rfc3339
from hostagent.wire import BuildCache


@dataclass(frozen=True)
class Record:
    """A row, as `docker system df -v` lists it."""

    key: str
    description: str
    size: int
    created_ns: int
    used_ns: int
    shared: bool
    """Whether an image has the layer too: removing it here frees nothing."""

    def wire(self) -> BuildCache:
        return BuildCache(
            id=cache_id(self.key),
            description=self.description,
            shared=self.shared,
            size=self.size,
            created_at=rfc3339(self.created_ns),
            last_used_at=rfc3339(self.used_ns),
            usage_count=1,
        )


@dataclass(frozen=True)
class _New:
    chain_id: str
    entry: Entry
    description: str


class Restricted:
    """Of a cache only those results that certain images are made of."""

    def __init__(self, cache: StepCache, chains: frozenset[str]) -> None:
        self._cache = cache
        self._chains = chains

    def find(self, key: str, parent: Snapshot) -> Entry | None:
        entry = self._cache.find(key, parent)
        if entry is None or parent.with_layer(entry.layer).chain_id not in self._chains:
            return None
        return entry

    def put(self, key: str, parent: Snapshot, layer: Layer | None, description: str) -> Entry:
        return self._cache.put(key, parent, layer, description)


class StepCache:
    """All builds of this daemon. What a build adds is found by others at once, and is on disk after `flush`."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._new: dict[str, _New] = {}
        self._used: dict[str, int] = {}

    def find(self, key: str, parent: Snapshot) -> Entry | None:
        """What the step came to, if its layer is still there."""
        if new := self._new.get(key):
            return new.entry
        rows = self._store.db.query("SELECT * FROM build_step WHERE key = ?", (key,))
        if not rows:
            return None
        row = rows[0]
        layer = Layer(row["diff_id"], row["size"]) if row["diff_id"] is not None else None
        if layer is not None and not self._store.has_layer(parent.with_layer(layer).chain_id):
            return None
        self._used[key] = time.time_ns()
        return Entry(layer, row["created_ns"])

    def put(self, key: str, parent: Snapshot, layer: Layer | None, description: str) -> Entry:
        entry = Entry(layer, time.time_ns())
        self._new[key] = _New(parent.with_layer(layer).chain_id if layer else "", entry, description)
        return entry

    async def flush(self) -> None:
        """Write what is new, once its files are on disk: one sync for a whole build."""
        new, self._new = self._new, {}
        used, self._used = self._used, {}
        if not new and not used:
            return
        if new:
            await self._store.sync()
        now = time.time_ns()
        with self._store.db.transaction() as tx:
            for key, each in new.items():
                layer = each.entry.layer
                if layer is not None:
                    tx.execute(
                        "INSERT OR IGNORE INTO layer (chain_id, diff_id, size) VALUES (?, ?, ?)",
                        (each.chain_id, layer.diff_id, layer.size),
                    )
                tx.execute(
                    "INSERT OR REPLACE INTO build_step VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        key,
                        each.chain_id if layer else None,
                        layer.diff_id if layer else None,
                        layer.size if layer else 0,
                        each.description,
                        each.entry.created_ns,
                        now,
                    ),
                )
            tx.executemany(
                "UPDATE build_step SET used_ns = ? WHERE key = ?", [(then, key) for key, then in used.items()]
            )

    def records(self) -> list[Record]:
        """The least recently used first."""
        rows = self._store.db.query(
            "SELECT build_step.*, EXISTS (SELECT 1 FROM image_layer WHERE image_layer.chain_id = build_step.chain_id)"
            " AS shared FROM build_step ORDER BY used_ns"
        )
        return [
            Record(
                row["key"],
                row["description"],
                row["size"],
                row["created_ns"],
                row["used_ns"],
                bool(row["shared"]),
            )
            for row in rows
        ]

    async def remove(self, keys: Iterable[str]) -> int:
        """Forget these steps and delete layers that nothing else has; bytes freed."""
        freed, doomed = 0, []
        with self._store.db.transaction() as tx:
            for key in keys:
                row = tx.execute(
                    "DELETE FROM build_step WHERE key = ? RETURNING chain_id, size", (key,)
                ).fetchone()
                if row is None or row["chain_id"] is None:
                    continue
                if self._store.drop_layer(tx, row["chain_id"]):
                    freed += row["size"]
                    doomed.append(layer_key(row["chain_id"]))
        await self._store.delete(self._store.sweep(doomed))
        return freed


def cache_id(key: str) -> str:
    """A key as clients see it."""
    return key.partition(":")[2]
