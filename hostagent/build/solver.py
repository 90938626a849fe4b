"""Brings ops to their results: each once, side by side where none needs the other, from the cache where it hits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from hostagent.build import keys, ops
from hostagent.build.results import Layer, Result, Snapshot, Tar, Tree
from hostagent.errors import EngineError

T = TypeVar("T")


class Executor(Protocol):
    """Does the work. A layer that it returns is in the store, under the chain ID on top of `parent`, and leased."""

    def base(self, op: ops.Base) -> Snapshot: ...

    def hold(self, layers: Snapshot) -> None:
        """Nobody deletes them before the build ends."""

    async def tree(self, op: ops.Context | ops.Remote | ops.Git | ops.Inline) -> Tree | Tar: ...

    async def digest(self, source: Result, op: ops.Copy) -> str:
        """Of the files that a copy takes: names, kinds, modes, owners, links, contents; not times."""

    async def digest_path(self, source: Result, path: str) -> str:
        """The same of one path and all below it."""

    async def run(
        self, op: ops.Run, parent: Snapshot, sources: Mapping[ops.Mount, Result]
    ) -> Layer | None: ...

    async def copy(self, op: ops.Copy, parent: Snapshot, source: Result) -> Layer | None: ...

    async def make_directory(self, op: ops.MakeDirectory, parent: Snapshot) -> Layer | None: ...

    async def rebase(self, layers: Snapshot, parent: Snapshot) -> Snapshot:
        """The layers, which stand alone, on top of `parent`."""


@dataclass(frozen=True)
class Entry:
    """What a step came to: its layer, None for one that changed nothing; and when that was, ns since 1970."""

    layer: Layer | None
    created_ns: int


class Cache(Protocol):
    """Results of earlier steps."""

    def find(self, key: str, parent: Snapshot) -> Entry | None:
        """None when the step has to be done."""

    def put(self, key: str, parent: Snapshot, layer: Layer | None, description: str) -> Entry: ...


class Listener(Protocol):
    """Hears how far the build is."""

    def cached(self, op: ops.Op) -> None: ...

    def started(self, op: ops.Op) -> None: ...

    def finished(self, op: ops.Op, result: Snapshot) -> None: ...


class Solver:
    """One build's work. `solve` may be called for any number of ops."""

    def __init__(
        self,
        executor: Executor,
        cache: Cache,
        listener: Listener,
        group: asyncio.TaskGroup,
        use_cache: bool,
    ) -> None:
        """Without `use_cache` every step is done, and remembered. `group` owns the work: one failure ends all of it."""
        self._executor = executor
        self._cache = cache
        self._listener = listener
        self._group = group
        self._use_cache = use_cache
        self.moments: dict[ops.Op, int] = {}
        """When steps were done, by this build or an earlier one: ns since 1970."""
        self._tasks: dict[ops.Op, asyncio.Task[Result]] = {}

    async def snapshot(self, op: ops.Op) -> Snapshot:
        """The layers that `op` comes to."""
        result = await self.solve(op)
        assert isinstance(result, Snapshot)
        return result

    async def solve(self, op: ops.Op) -> Result:
        task = self._tasks.get(op)
        if task is None:
            task = self._tasks[op] = self._group.create_task(self._perform(op))
        return await task

    async def _perform(self, op: ops.Op) -> Result:
        match op:
            case ops.Scratch():
                return Snapshot()
            case ops.Base():
                return self._executor.base(op)
            case ops.Context() | ops.Remote() | ops.Git() | ops.Inline():
                return await self._executor.tree(op)
            case ops.Merge():
                lower, upper = await asyncio.gather(self.snapshot(op.lower), self.snapshot(op.upper))
                return await self._executor.rebase(upper, lower)
            case ops.MakeDirectory():
                parent = await self.snapshot(op.parent)
                key = keys.directory_key(op, parent.chain_id)
                return await self._step(op, key, parent, lambda: self._executor.make_directory(op, parent))
            case ops.Copy():
                parent, source = await asyncio.gather(self.snapshot(op.parent), self._source(op))
                files = await self._telling(op, self._executor.digest(source, op))
                key = keys.copy_key(op, parent.chain_id, files)
                return await self._step(op, key, parent, lambda: self._executor.copy(op, parent, source))
            case ops.Run():
                return await self._run(op)

    async def _run(self, op: ops.Run) -> Snapshot:
        wanted = {mount: mount.source for mount in op.mounts if mount.source is not None}
        parent, found = await asyncio.gather(
            self.snapshot(op.parent), asyncio.gather(*(self.solve(source) for source in wanted.values()))
        )
        sources = dict(zip(wanted, found, strict=True))
        digests = {
            mount: await self._telling(op, self._executor.digest_path(source, mount.path))
            for mount, source in sources.items()
            if mount.kind == "bind"
        }
        key = keys.run_key(op, parent.chain_id, digests)
        return await self._step(op, key, parent, lambda: self._executor.run(op, parent, sources))

    async def _source(self, op: ops.Copy) -> Result:
        fetched = isinstance(op.source, ops.Remote | ops.Git)
        return await (self._telling(op, self.solve(op.source)) if fetched else self.solve(op.source))

    async def _telling(self, op: ops.Op, work: Awaitable[T]) -> T:
        """What has to be known before the cache is asked. If it fails, the step has."""
        try:
            return await work
        except EngineError:
            self._listener.started(op)
            raise

    async def _step(
        self, op: ops.Op, key: str, parent: Snapshot, execute: Callable[[], Awaitable[Layer | None]]
    ) -> Snapshot:
        entry = self._cache.find(key, parent) if self._use_cache else None
        if entry is not None:
            self._executor.hold(parent.with_layer(entry.layer))
            self._listener.cached(op)
        else:
            self._listener.started(op)
            entry = self._cache.put(key, parent, await execute(), type(op).__name__)
        result = parent.with_layer(entry.layer)
        self.moments[op] = entry.created_ns
        self._listener.finished(op, result)
        return result
