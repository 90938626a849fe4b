"""Contexts that come in parts and stay: trees of the last ones, contents of files by their digests.

    <root>/build/files/<xx>/<hex>…       contents (hostagent.image.contents)
    <root>/build/contexts/<name>/        one context: fs/ the tree, manifest its entries, id its name by content
    <root>/build/parts/<hex>             half a content: the rest of it may come yet
    <root>/build/tmp/                    emptied when the engine starts

`id` is written last and deleted first: without it a context is deleted at the next start. From the event loop's thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count, takewhile
from pathlib import Path

import zstandard

from hostagent.build import contextspace
from hostagent.errors import Invalid, NotFound
from hostagent.image.contextjobs import ContextJob, FindMissing, MakeContext, StoreContents
from hostagent.image.crew import Crew
from hostagent.image.crewpool import CrewPool
from hostagent.image.jobs import Done
from hostagent.image.spool import spool
from hostagent.image.trees import remove_tree
from hostagent.kernel.fds import owned
from hostagent.model.moment import rfc3339
from hostagent.model.stream import Incoming
from hostagent.wire import BuildCache, decode
from hostagent.wire.context import (
    ContextLacks,
    ContextPiece,
    ContextState,
    context_id,
    decode_pieces,
    encode_pieces,
)

_NAME = re.compile(r"[0-9a-f]{16,64}")
_LIST_LIMIT = 128 << 20
"""Bytes of the list of a context's files: some two million of them."""


class ContextStore:
    """A context's `name` is its client's choice (16-64 hex digits): the next one of that name is made out of it."""

    def __init__(self, root: Path, crews: CrewPool) -> None:
        self._space = contextspace.Space(root / "build")
        self._crews = crews
        self._users: Counter[Path] = Counter()
        self._changing: set[Path] = set()
        self._storing = asyncio.Lock()
        self._grown = False

    def recover(self) -> None:
        """At the engine's start: what was half made goes, half contents stay."""
        self._space.recover()

    async def state(self, name: str, wanted: str) -> ContextState:
        """Whether the context `wanted` is here, or else which pieces of its list."""
        if self._ready(name, wanted) is not None:
            return ContextState(ready=True)
        known = await asyncio.to_thread(contextspace.pieces, self._slot(name))
        return ContextState(pieces=[digest.hex() for digest in known])

    async def describe(self, name: str, wanted: str, stream: AsyncIterator[bytes]) -> ContextLacks:
        """Takes the list of a context (zstd of wire.context pieces); which contents it lacks. Raises Invalid."""
        with self._scratch("list") as packed, self._scratch("report") as report:
            await spool(stream, packed)
            manifest = self._staged(wanted)
            await asyncio.to_thread(_assemble, packed, self._slot(name), wanted, manifest)
            try:
                await self._run(
                    FindMissing(str(manifest), str(self._space.files), str(self._space.parts), str(report))
                )
            except Invalid:
                manifest.unlink(missing_ok=True)
                raise
            return decode(report.read_bytes(), ContextLacks)

    async def receive(self, incoming: Incoming) -> None:
        """Takes contents from a client's socket (`fd` is ours from here on); what has come before the stream broke is
        kept. Raises Invalid."""
        with owned(incoming.fd), self._scratch("contents") as own:
            own.mkdir()
            try:
                async with Crew(incoming.fd) as crew:
                    self._grown = True
                    space = self._space
                    job = StoreContents(
                        fd=incoming.fd,
                        early=incoming.early,
                        length=incoming.length,
                        own=str(own),
                        files=str(space.files),
                        parts=str(space.parts),
                    )
                    await crew.run(job, Done)
            finally:
                await asyncio.to_thread(remove_tree, os.fsencode(own))

    @asynccontextmanager
    async def use(self, name: str, wanted: str) -> AsyncIterator[tuple[str, str]]:
        """The directory of a context, which nobody may change, and its manifest. Raises NotFound for one that was not
        described."""
        slot = self._ready(name, wanted)
        if slot is None:
            slot = await self._make(name, wanted)
        self._users[slot] += 1
        try:
            os.utime(slot / "id")
            yield str(slot / "fs"), str(slot / "manifest")
        finally:
            self._users[slot] -= 1
        if self._grown:
            self._grown = False
            async with self._storing:
                await asyncio.to_thread(self._space.prune, contextspace.LIMIT, 0, self._idle)

    async def usage(self) -> list[BuildCache]:
        """All of it as one entry of the build cache, of BuildKit's type for such; none when there is nothing."""
        size = await asyncio.to_thread(self._space.size)
        used = self._space.used_ns()
        if not size:
            return []
        entry = BuildCache(
            id="contexts",
            type="source.local",
            description="files of contexts",
            size=size,
            created_at=rfc3339(self._space.made_ns()),
            last_used_at=rfc3339(used) if used else None,
        )
        return [entry]

    async def prune(self, keep: int, until_ns: int) -> int:
        """Delete contexts that no build uses and what only they need, the longest unused first, until `keep` bytes are
        left; those used after `until_ns` (0 = no limit) stay. Bytes freed."""
        async with self._storing:
            return await asyncio.to_thread(self._space.prune, keep, until_ns, self._idle)

    async def _make(self, name: str, wanted: str) -> Path:
        manifest = self._staged(wanted)
        if not manifest.exists():
            raise NotFound("the host does not know this context any more: send it again")
        slot = next(filter(self._idle, self._slots(name)))
        self._changing.add(slot)
        try:
            slot.mkdir(mode=0o700, exist_ok=True)
            # Contents must not be deleted between their arrival and their first use.
            async with self._storing:
                await self._run(MakeContext(str(manifest), str(self._space.files), str(slot), wanted))
        except BaseException:
            await asyncio.to_thread(remove_tree, os.fsencode(slot))
            raise
        finally:
            self._changing.discard(slot)
        return slot

    def _ready(self, name: str, wanted: str) -> Path | None:
        there = takewhile(Path.exists, self._slots(name))
        found = (slot for slot in there if slot not in self._changing and contextspace.id_of(slot) == wanted)
        return next(found, None)

    def _slots(self, name: str) -> Iterator[Path]:
        """Its place, and others for when that is in use."""
        first = self._slot(name)
        yield first
        for number in count(1):
            yield first.with_name(f"{name}.{number}")

    def _slot(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise Invalid(f"the name of a context is 16 to 64 hexadecimal digits, not {name!r}")
        return self._space.contexts / name

    def _idle(self, slot: Path) -> bool:
        return not self._users[slot] and slot not in self._changing

    def _staged(self, wanted: str) -> Path:
        if not _NAME.fullmatch(wanted):
            raise Invalid(f"the ID of a context is 64 hexadecimal digits, not {wanted!r}")
        return self._space.tmp / f"list-{wanted}"

    async def _run(self, job: ContextJob) -> None:
        async with self._crews.crew() as crew:
            await crew.run(job, Done)

    @contextmanager
    def _scratch(self, kind: str) -> Iterator[Path]:
        path = self._space.tmp / f"{contextspace.BUSY}{kind}-{secrets.token_hex(8)}"
        try:
            yield path
        finally:
            if not path.is_dir():
                path.unlink(missing_ok=True)


def _assemble(packed: Path, slot: Path, wanted: str, manifest: Path) -> None:
    """The whole list from the pieces that came and those that are here. Raises Invalid."""
    known = contextspace.pieces(slot)
    try:
        with open(packed, "rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
            raw = stream.read(_LIST_LIMIT + 1)
        if len(raw) > _LIST_LIMIT:
            raise Invalid(
                "the context has too many files: name those that the build does not need in .dockerignore"
            )
        pieces = decode_pieces(raw)
    except (zstandard.ZstdError, ValueError) as error:
        raise Invalid(f"the list of the context's files cannot be read: {error}") from None
    whole = [ContextPiece(piece.digest, piece.data or known.get(piece.digest, b"")) for piece in pieces]
    if any(hashlib.sha256(piece.data).digest() != piece.digest for piece in whole):
        raise Invalid("the list of the context's files is not whole: send all of it")
    if context_id(piece.digest for piece in whole) != wanted:
        raise Invalid("the list of the context's files is not that of its ID")
    part = manifest.with_name(f"{contextspace.BUSY}{manifest.name}-{secrets.token_hex(4)}")
    part.write_bytes(encode_pieces(whole))
    part.rename(manifest)
