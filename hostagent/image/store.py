"""What the host has: blobs, layers, images and their names; SQLite for what is, directories for the bytes.

    <root>/blobs/sha256/<hex>     as received: configurations, manifests, layers
    <root>/layers/<chain hex>/fs  unpacked, a lower directory of overlay
    <root>/tmp/                   being made or being deleted; emptied when the engine starts

Order that survives a kill and a power cut: make everything in tmp or under a name that no row mentions, sync the file
system once, then commit the rows. What has no row and no lease is a left-over, and `sweep` removes it.
Used from the event loop's thread only.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from hostagent.errors import EngineError
from hostagent.image import fulldisk
from hostagent.image.config import parse_config
from hostagent.image.fulldisk import is_full
from hostagent.image.trees import remove_tree
from hostagent.kernel import libc
from hostagent.model.image import Image
from hostagent.model.reference import Reference
from hostagent.statedb.database import Database

SCRATCH = "image-"  # first part of our names in tmp


@dataclass(frozen=True)
class Blob:
    """A stored blob and what unpacks from it."""

    diff_id: str
    digest: str
    media_type: str
    size: int


@dataclass(frozen=True)
class Record:
    """What the table `image` says besides the configuration."""

    id: str
    stored_ns: int
    size: int
    manifest: str | None
    parent: str = ""
    """The image that this one was made from here, as long as it is there."""


@dataclass(frozen=True)
class NewLayer:
    """One layer of an image about to be committed; `blob` None = nothing is stored but the directory."""

    diff_id: str
    size: int
    blob: Blob | None


class ImageStore:
    """`root` is the engine's data directory."""

    def __init__(self, root: Path, db: Database) -> None:
        self.db = db
        self.blobs = root / "blobs" / "sha256"
        self.layers = root / "layers"
        self.tmp = root / "tmp"
        for directory in (self.blobs, self.layers, self.tmp):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._leases: Counter[str] = Counter()
        self._images: dict[str, Image] = {}

    # Paths

    def blob(self, digest: str) -> Path:
        return self.blobs / digest.removeprefix("sha256:")

    def layer(self, chain_id: str) -> Path:
        return self.layers / chain_id.removeprefix("sha256:") / "fs"

    def has_blob(self, digest: str) -> bool:
        return self.blob(digest).exists()

    def has_layer(self, chain_id: str) -> bool:
        return self.layer(chain_id).exists()

    def scratch(self, kind: str) -> Path:
        """A name in tmp that nothing has."""
        return self.tmp / f"{SCRATCH}{kind}-{secrets.token_hex(8)}"

    # Leases: what an operation under way uses or makes is not swept

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Lease]:
        """Names taken through it are safe until the end; then those that no row wants are deleted."""
        lease = Lease(self._leases, self)
        try:
            yield lease
        except (OSError, sqlite3.OperationalError) as error:
            if is_full(error):
                raise EngineError(fulldisk.TEXT) from error
            raise
        finally:
            swept = self.sweep(lease.release())
            await self.delete([*swept, *(path for path in lease.made if path.exists())])

    def sweep(self, names: Iterable[str]) -> list[Path]:
        """Move those of `names` (`blob_key`, `layer_key`) that no row and no lease wants into tmp; the moved paths."""
        moved: list[Path] = []
        for name in names:
            if self._leases[name]:
                continue
            kind, _, digest = name.partition(":")
            if kind == "layer" and not self.db.query("SELECT 1 FROM layer WHERE chain_id = ?", (digest,)):
                source = self.layer(digest).parent
            elif kind == "blob" and not self._blob_wanted(digest):
                source = self.blob(digest)
            else:
                continue
            if source.exists():
                target = self.scratch("trash")
                source.rename(target)
                moved.append(target)
        return moved

    def _blob_wanted(self, digest: str) -> bool:
        return bool(
            self.db.query(
                "SELECT 1 FROM image WHERE id = ?1 OR manifest = ?1"
                " UNION ALL SELECT 1 FROM layer_blob WHERE digest = ?1",
                (digest,),
            )
        )

    @staticmethod
    async def delete(paths: Iterable[Path]) -> None:
        """Delete swept trees in a thread; not cut short by cancellation, as they have left the books already."""
        doomed = list(paths)
        if doomed:
            await asyncio.shield(asyncio.to_thread(_delete, doomed))

    def recover(self) -> None:
        """At the engine's start: delete what was half made, and what is complete but in no row."""
        _delete(path for path in self.tmp.iterdir() if path.name.startswith(SCRATCH))
        found = [layer_key(f"sha256:{path.name}") for path in self.layers.iterdir()]
        found += [blob_key(f"sha256:{path.name}") for path in self.blobs.iterdir()]
        _delete(self.sweep(found))

    # Files

    def put_blob(self, data: bytes, digest: str) -> None:
        """Store a small blob whose digest the caller has checked."""
        if not self.has_blob(digest):
            path = self.scratch("blob")
            path.write_bytes(data)
            path.rename(self.blob(digest))

    def read_blob(self, digest: str) -> bytes:
        """A small blob. Raises EngineError when it is lost or damaged."""
        try:
            data = self.blob(digest).read_bytes()
        except FileNotFoundError:
            raise EngineError(
                f"the engine's blob {digest} is missing: remove the image and pull it again"
            ) from None
        if "sha256:" + hashlib.sha256(data).hexdigest() != digest:
            raise EngineError(f"the engine's blob {digest} is damaged: remove the image and pull it again")
        return data

    def adopt_blob(self, path: Path, digest: str) -> None:
        """Move a finished file from tmp to its place; a second copy of a blob is dropped."""
        if self.has_blob(digest):
            path.unlink()
        else:
            path.rename(self.blob(digest))

    def adopt_layer(self, directory: Path, chain_id: str) -> None:
        """Move an unpacked layer (a directory with `fs` in it) from tmp to its place."""
        directory.rename(self.layer(chain_id).parent)

    async def sync(self) -> None:
        """One syncfs: everything written so far, and every rename, is on disk afterwards (syncfs(2))."""
        fd = os.open(self.layers, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            await asyncio.to_thread(libc.syncfs, fd)
        finally:
            os.close(fd)

    # Rows

    def add(
        self,
        image: Image,
        layers: Sequence[NewLayer],
        manifest: str | None,
        names: Iterable[Reference],
        parent: str | None = None,
    ) -> None:
        """Commit an image whose files are synced, and give it `names`. An image already there only gets the names.
        `parent`: the ID of the image that it was made from."""
        now = time.time_ns()
        with self.db.transaction() as tx:
            for chain_id, layer in zip(image.chain_ids, layers, strict=True):
                tx.execute(
                    "INSERT OR IGNORE INTO layer (chain_id, diff_id, size) VALUES (?, ?, ?)",
                    (chain_id, layer.diff_id, layer.size),
                )
                if layer.blob is not None:
                    self._add_blob(tx, layer.blob)
            tx.execute(
                "INSERT INTO image (id, stored_ns, size, manifest, parent) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET manifest = coalesce(manifest, excluded.manifest)",
                (image.id, now, sum(layer.size for layer in layers), manifest, parent),
            )
            tx.executemany(
                "INSERT OR IGNORE INTO image_layer (image_id, position, chain_id) VALUES (?, ?, ?)",
                [(image.id, position, chain_id) for position, chain_id in enumerate(image.chain_ids)],
            )
            for name in names:
                self._name(tx, name, image.id, now)

    @staticmethod
    def _add_blob(tx: sqlite3.Connection, blob: Blob) -> None:
        tx.execute(
            "INSERT OR IGNORE INTO layer_blob (diff_id, digest, media_type, size) VALUES (?, ?, ?, ?)",
            (blob.diff_id, blob.digest, blob.media_type, blob.size),
        )

    @staticmethod
    def _name(tx: sqlite3.Connection, name: Reference, image_id: str, now: int) -> None:
        tx.execute(
            "INSERT INTO image_name (name, image_id, used_ns) VALUES (?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET image_id = excluded.image_id, used_ns = excluded.used_ns",
            (str(name), image_id, now),
        )

    def name(self, name: Reference, image_id: str) -> None:
        """Give an image a name, taking it from another that has it."""
        with self.db.transaction() as tx:
            self._name(tx, name, image_id, time.time_ns())

    def unname(self, name: Reference) -> None:
        self.db.execute("DELETE FROM image_name WHERE name = ?", (str(name),))

    def remove(self, image: Image) -> list[str]:
        """Delete an image's rows, its names, and the layers that no other image uses; the keys to sweep."""
        record = self.record(image.id)
        keys = [blob_key(image.id)] + ([blob_key(record.manifest)] if record.manifest else [])
        with self.db.transaction() as tx:
            tx.execute("DELETE FROM image WHERE id = ?", (image.id,))
            self._images.pop(image.id, None)
            for chain_id, diff_id in zip(image.chain_ids, image.diff_ids, strict=True):
                if self.drop_layer(tx, chain_id):
                    keys.append(layer_key(chain_id))
                if not tx.execute("SELECT 1 FROM layer WHERE diff_id = ?", (diff_id,)).fetchone():
                    digests = tx.execute(
                        "SELECT digest FROM layer_blob WHERE diff_id = ?", (diff_id,)
                    ).fetchall()
                    tx.execute("DELETE FROM layer_blob WHERE diff_id = ?", (diff_id,))
                    keys += [blob_key(row["digest"]) for row in digests]
        return keys

    @staticmethod
    def drop_layer(tx: sqlite3.Connection, chain_id: str) -> bool:
        """Delete a layer's row unless an image or a build's step has it; whether it is gone."""
        users = "SELECT 1 FROM image_layer WHERE chain_id = ?1 UNION ALL SELECT 1 FROM build_step WHERE chain_id = ?1"
        if tx.execute(users, (chain_id,)).fetchone():
            return False
        tx.execute("DELETE FROM layer WHERE chain_id = ?", (chain_id,))
        return True

    def image(self, image_id: str) -> Image | None:
        """The image of an ID that has a row."""
        cached = self._images.get(image_id)
        if cached is None and self.db.query("SELECT 1 FROM image WHERE id = ?", (image_id,)):
            cached = self._images[image_id] = parse_config(self.read_blob(image_id))
        return cached

    def named(self, name: Reference) -> Image | None:
        rows = self.db.query("SELECT image_id FROM image_name WHERE name = ?", (str(name),))
        return self.image(rows[0]["image_id"]) if rows else None

    def by_prefix(self, prefix: str) -> list[str]:
        """IDs that begin with `prefix` (hex digits), two at most."""
        rows = self.db.query(
            "SELECT id FROM image WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2", (f"sha256:{prefix}",)
        )
        return [row["id"] for row in rows]

    def records(self) -> list[Record]:
        """All images, the newest first."""
        return [_record(row) for row in self.db.query(f"{_RECORD} ORDER BY stored_ns DESC")]

    def record(self, image_id: str) -> Record:
        return _record(self.db.query(f"{_RECORD} WHERE id = ?", (image_id,))[0])

    def names(self, image_id: str) -> list[Reference]:
        """All names of an image, those with a digest too."""
        rows = self.db.query("SELECT name FROM image_name WHERE image_id = ? ORDER BY name", (image_id,))
        return [Reference.parse(row["name"], default_tag=False) for row in rows]

    def last_tagged(self, image_id: str) -> int:
        """When the image last got a name, ns since 1970; when it was stored, if it never did."""
        rows = self.db.query(
            "SELECT coalesce((SELECT max(used_ns) FROM image_name WHERE image_id = ?1), stored_ns) AS moment"
            " FROM image WHERE id = ?1",
            (image_id,),
        )
        return int(rows[0]["moment"])

    def layer_size(self, chain_id: str) -> int | None:
        """Bytes of a layer that has a row."""
        rows = self.db.query("SELECT size FROM layer WHERE chain_id = ?", (chain_id,))
        return rows[0]["size"] if rows else None

    def layer_sizes(self) -> dict[str, int]:
        """Bytes of all layers by chain ID."""
        return {row["chain_id"]: row["size"] for row in self.db.query("SELECT chain_id, size FROM layer")}

    def children(self, image_id: str) -> list[str]:
        """The images made from it here."""
        return [row["id"] for row in self.db.query("SELECT id FROM image WHERE parent = ?", (image_id,))]

    def layer_blobs(self, diff_id: str) -> list[Blob]:
        """The stored blobs that unpack to `diff_id`."""
        rows = self.db.query("SELECT digest, media_type, size FROM layer_blob WHERE diff_id = ?", (diff_id,))
        return [Blob(diff_id, row["digest"], row["media_type"], row["size"]) for row in rows]

    def remember_source(self, digests: Iterable[str], repository: str) -> None:
        """The repository has these blobs; a later push to its registry can mount them."""
        with self.db.transaction() as tx:
            tx.executemany(
                "INSERT OR IGNORE INTO blob_source (digest, repository) VALUES (?, ?)",
                [(digest, repository) for digest in digests],
            )

    def sources(self, digest: str) -> list[str]:
        """Repositories (with domain) known to have the blob."""
        rows = self.db.query("SELECT repository FROM blob_source WHERE digest = ?", (digest,))
        return [row["repository"] for row in rows]

    def tags_of(self, repository: str) -> list[Reference]:
        """The tagged names in a repository."""
        rows = self.db.query(
            "SELECT name FROM image_name WHERE name >= ?1 || ':' AND name < ?1 || ';' ORDER BY name",
            (repository,),
        )
        return [Reference.parse(row["name"]) for row in rows]


_RECORD = (
    "SELECT id, stored_ns, size, manifest,"
    " (SELECT other.id FROM image AS other WHERE other.id = image.parent) AS parent FROM image"
)


def _record(row: sqlite3.Row) -> Record:
    return Record(row["id"], row["stored_ns"], row["size"], row["manifest"], row["parent"] or "")


def layer_key(chain_id: str) -> str:
    return f"layer:{chain_id}"


def blob_key(digest: str) -> str:
    return f"blob:{digest}"


class Lease:
    """The names that one operation holds, and the paths in tmp that it made."""

    def __init__(self, counter: Counter[str], store: ImageStore) -> None:
        self._counter = counter
        self._store = store
        self.made: list[Path] = []
        self._held: set[str] = set()

    def take(self, *keys: str) -> None:
        for key in keys:
            if key not in self._held:
                self._held.add(key)
                self._counter[key] += 1

    def scratch(self, kind: str) -> Path:
        """A new name in tmp; whatever still has it when the lease ends is deleted."""
        path = self._store.scratch(kind)
        self.made.append(path)
        return path

    def release(self) -> set[str]:
        """Give all up; their names."""
        for key in self._held:
            self._counter[key] -= 1
            if not self._counter[key]:
                del self._counter[key]
        held, self._held = self._held, set()
        return held


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        remove_tree(os.fsencode(path))
