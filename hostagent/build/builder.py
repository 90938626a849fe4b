"""One door to builds: files and options in, an image out."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hostagent.build import ops
from hostagent.build.assemble import assemble, store_image
from hostagent.build.cache import Restricted, StepCache, cache_id
from hostagent.build.compile import Compiled, Program, compile_build, file_head, platform_asked
from hostagent.build.context import Contexts, Given
from hostagent.build.executor import BuildExecutor, Digests
from hostagent.build.mounting import Caches
from hostagent.build.options import Options
from hostagent.build.report import Report, Say
from hostagent.build.results import Snapshot
from hostagent.build.solver import Cache, Solver
from hostagent.build.stages import Stages
from hostagent.dockerfile.instructions import Dockerfile, parse
from hostagent.engine.filters import Filters
from hostagent.engine.life.transient import Transients
from hostagent.errors import Invalid, NotFound
from hostagent.image.config import host_platform
from hostagent.image.crew import Crew
from hostagent.image.service import ImageService
from hostagent.image.store import Lease
from hostagent.kernel.fds import owned
from hostagent.model.image import Image, Platform
from hostagent.model.moment import parse_moment
from hostagent.model.reference import Reference
from hostagent.model.stream import Incoming
from hostagent.wire import AuthConfig, BuildCache, BuildCachePruned

Accounts = Callable[[Reference], AuthConfig | None]
"""Credentials for an image's registry."""


class Body(Protocol):
    """Of a request with a build's context: the socket, from which all of it has to be read within the block."""

    def lend(self) -> AbstractContextManager[Incoming]: ...


@dataclass(frozen=True)
class Request:
    """A build's options, who may pull for it, and where its words go."""

    options: Options
    accounts: Accounts
    say: Say


class Builder:
    """Builds of this daemon; `memory` is a directory that is no disk. `limit`: bytes of steps that are kept beside
    those that images are made of; 0 is none, -1 a tenth of the disk."""

    def __init__(
        self, images: ImageService, transients: Transients, root: Path, memory: Path, limit: int
    ) -> None:
        self._root = root
        self._limit = limit
        self._images = images
        self._transients = transients
        self._memory = memory
        self.cache = StepCache(images.store)
        self._caches = Caches(root / "build-cache")
        self._digests: Digests = {}

    @property
    def platform(self) -> Platform:
        """This host's."""
        return host_platform()

    async def build(self, request: Request, context: Body | Given) -> Image:
        """The image of the target stage, with its names. What steps came to is kept, up to the limit."""
        try:
            return await self._build(request, context)
        finally:
            if self._limit:
                await self.prune(False, self._kept(), {})

    def _kept(self) -> int:
        if self._limit > 0:
            return self._limit
        disk = os.statvfs(self._root)
        return disk.f_blocks * disk.f_frsize // 10

    async def _build(self, request: Request, context: Body | Given) -> Image:
        async with self._images.store.lease() as lease, AsyncExitStack() as stack:
            if isinstance(context, Given):
                crew = await stack.enter_async_context(Crew())
                contexts = Contexts(crew, lease)
                dockerfile = parse(contexts.give(context))
            elif request.options.remote:
                crew = await stack.enter_async_context(Crew())
                contexts = Contexts(crew, lease)
                await contexts.fetch(request.options.remote)
                dockerfile = parse(contexts.dockerfile(request.options.dockerfile))
            else:
                with context.lend() as incoming:
                    with owned(incoming.fd):
                        crew = await stack.enter_async_context(Crew(incoming.fd))
                    contexts = Contexts(crew, lease)
                    await contexts.receive(incoming, request.options.dockerfile)
                dockerfile = parse(contexts.dockerfile(request.options.dockerfile))
            program = await self._compile(dockerfile, request)
            return await self._solve(program, request, contexts, crew, lease)

    def _cache_for(self, options: Options) -> Cache:
        """With `cache_from` nothing but what these images are made of, as Docker's classic builder has it."""
        if not options.cache_from:
            return self.cache
        chains: set[str] = set()
        for name in options.cache_from:
            try:
                chains.update(self._images.resolve(name).chain_ids)
            except NotFound:
                continue
        return Restricted(self.cache, frozenset(chains))

    def usage(self) -> list[BuildCache]:
        """For `docker system df`."""
        return [record.wire() for record in self.cache.records()]

    async def prune(self, everything: bool, keep: int, filters: Filters) -> BuildCachePruned:
        """Forget steps that were not used for longest, until `keep` bytes are left. Those whose layers images have are
        forgotten with `everything` only: that frees nothing. Directories of `type=cache` go when neither `keep` nor a
        filter spares anything. Raises Invalid for an unknown filter."""
        before = until(filters)
        doomed: list[str] = []
        left = sum(record.size for record in self.cache.records() if not record.shared)
        for record in self.cache.records():
            if (record.shared and not everything) or (before and record.used_ns > before):
                continue
            if keep and left <= keep:
                break
            doomed.append(record.key)
            left -= 0 if record.shared else record.size
        freed = await self.cache.remove(doomed)
        if not keep and not filters:
            freed += await self._caches.prune()
        return BuildCachePruned(
            caches_deleted=[cache_id(key) for key in doomed] or None, space_reclaimed=freed
        )

    async def _compile(self, dockerfile: Dockerfile, request: Request) -> Program:
        here = host_platform()
        options = request.options
        head = file_head(dockerfile, options, here)
        stages = Stages(dockerfile, head, platform_asked(options, here))
        images: dict[tuple[str, str], Image] = {}
        while missing := [key for key in stages.needed(options.target, images).images if key not in images]:
            try:
                async with asyncio.TaskGroup() as group:
                    found = {key: group.create_task(self._image(*key, request)) for key in missing}
            except BaseExceptionGroup as group_error:
                raise _first(group_error) from group_error
            images |= {key: task.result() for key, task in found.items()}
        return compile_build(dockerfile, options, images, here)

    async def _image(self, name: str, platform: str, request: Request) -> Image:
        """An image by the name in a FROM or --from; pulled when it is missing, or when it was asked for."""
        reference = Reference.parse(name)
        if not request.options.pull:
            try:
                found = self._images.resolve(name)
                if not platform or str(found.platform).startswith(platform):
                    return found
            except NotFound:
                pass
        return await self._images.pull(
            reference, platform or None, request.accounts(reference), lambda _: None
        )

    async def _solve(
        self, program: Program, request: Request, contexts: Contexts, crew: Crew, lease: Lease
    ) -> Image:
        options, say = request.options, request.say
        report = Report(say, program.stages.values())
        executor = BuildExecutor(
            self._images.store,
            self._transients,
            crew,
            lease,
            options,
            self._caches,
            contexts,
            report.output,
            self._memory,
            self._digests,
        )
        target = program.target
        results: dict[ops.Op, Snapshot] = {}
        try:
            async with asyncio.TaskGroup() as group:
                solver = Solver(executor, self._cache_for(options), report, group, options.use_cache)
                wanted = [target.op, *(step.op for step in target.steps if step.op is not None)]
                for op in wanted:
                    results[op] = await solver.snapshot(op)
        except BaseExceptionGroup as group_error:
            raise _first(group_error) from group_error
        finally:
            contexts.close()
            await self.cache.flush()
        key = _image_key(target, results[target.op])
        earlier = self.cache.find(key, Snapshot()) if options.use_cache else None
        report.end(earlier is not None)
        made = (earlier or self.cache.put(key, Snapshot(), None, "image")).created_ns
        raw = assemble(target, results, solver.moments, made, options.epoch)
        image = await store_image(self._images.store, lease, raw, results[target.op], options.tags)
        await self.cache.flush()
        if program.unused:
            say(f"[Warning] One or more build-args [{' '.join(program.unused)}] were not consumed\n")
        return image


def until(filters: Filters) -> int:
    """Nanoseconds since 1970; 0 = no limit."""
    if unknown := filters.keys() - {"until", "unused-for"}:
        raise Invalid(f"invalid filter '{min(unknown)}': use until")
    values = [*filters.get("until", ()), *filters.get("unused-for", ())]
    return parse_moment(values[0], time.time_ns()) if values else 0


def _image_key(target: Compiled, result: Snapshot) -> str:
    """Names an image but for its times: what is built again from the cache is the same image."""
    raw = assemble(
        target, {step.op: result for step in target.steps if step.op} | {target.op: result}, {}, 0, 0
    )
    return "image:" + hashlib.sha256(raw).hexdigest()


def _first(error: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended a build; the others are of work that it ended."""
    found: BaseException = error
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
