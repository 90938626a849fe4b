"""Does the steps of a build: files by jobs of a worker, processes in transient containers, layers into the store."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from hostagent.build import ops
from hostagent.build.mounting import Caches, Mounting
from hostagent.build.options import Options
from hostagent.build.output import read_output
from hostagent.build.results import Layer, Result, Snapshot, Tar, Tree
from hostagent.engine.life.transient import Task, Transients
from hostagent.errors import EngineError, NotFound, StepFailed
from hostagent.image.buildjobs import (
    CopyFiles,
    Digested,
    DigestFiles,
    Directory,
    Files,
    Finished,
    FinishLayer,
    Layers,
    MakeDirectories,
    Selection,
    Stage,
)
from hostagent.image.crew import Crew
from hostagent.image.jobs import Done
from hostagent.image.store import ImageStore, Lease, layer_key
from hostagent.model.image import Image, ImageConfig
from hostagent.wire import ContainerCreate

Leaf = ops.Context | ops.Remote | ops.Git | ops.Inline


class Leaves(Protocol):
    """Brings files that come from elsewhere."""

    async def tree(self, op: Leaf, /) -> Tree | Tar: ...

    async def unpacked(self, tar: Tar, /) -> Tree:
        """Its files as a directory."""


Digests = dict[tuple[object, ...], str]
"""What selections of trees that have a name by content were found to be, the newest last."""
_DIGESTS = 1000
Tell = Callable[[ops.Op, int, bytes], None]
"""Hears what a step says: 1 is stdout, 2 stderr."""


class BuildExecutor:
    """One build's; `lease` keeps what it makes until the rows are written. `memory`: a directory that is no disk."""

    def __init__(
        self,
        store: ImageStore,
        transients: Transients,
        crew: Crew,
        lease: Lease,
        options: Options,
        caches: Caches,
        leaves: Leaves,
        tell: Tell,
        memory: Path,
        digests: Digests,
    ) -> None:
        self._store = store
        self._transients = transients
        self._crew = crew
        self._lease = lease
        self._options = options
        self._caches = caches
        self._leaves = leaves
        self._tell = tell
        self._memory = memory
        self._digests = digests

    # -- what there is already

    def base(self, op: ops.Base) -> Snapshot:
        layers: list[Layer] = []
        for diff_id in op.diff_ids:
            chain_id = Snapshot((*layers, Layer(diff_id, 0))).chain_id
            self._lease.take(layer_key(chain_id))
            layers.append(Layer(diff_id, self._store.layer_size(chain_id) or 0))
        return Snapshot(tuple(layers))

    def hold(self, layers: Snapshot) -> None:
        self._lease.take(*(layer_key(chain_id) for chain_id in layers.chain_ids[-1:]))

    async def tree(self, op: Leaf) -> Tree | Tar:
        try:
            return await self._leaves.tree(op)
        except EngineError as error:
            raise type(error)(f"ADD failed: {error}") from None

    def _directories(self, snapshot: Snapshot) -> list[str]:
        return [str(self._store.layer(chain_id)) for chain_id in reversed(snapshot.chain_ids)]

    def _files(self, source: Result) -> Files:
        if isinstance(source, Tree):
            return Directory(source.directory, source.manifest)
        if isinstance(source, Tar):
            return source.archive
        return Layers(self._directories(source))

    # -- digests

    async def digest(self, source: Result, op: ops.Copy) -> str:
        try:
            return await self._digest(
                source, Selection(self._files(source), list(op.paths), list(op.exclude), op.parents)
            )
        except NotFound as error:
            raise NotFound(f"{op.name} failed: {error}") from None

    async def digest_path(self, source: Result, path: str) -> str:
        return await self._digest(source, Selection(self._files(source), [path]))

    async def _digest(self, source: Result, selection: Selection) -> str:
        if not isinstance(source, Tree) or not source.digest:
            return await self._look(selection)
        key = (source.digest, *selection.paths, None, *selection.exclude, selection.parents)
        if key not in self._digests:
            if len(self._digests) >= _DIGESTS:
                del self._digests[next(iter(self._digests))]
            self._digests[key] = await self._look(selection)
        return self._digests[key]

    async def _look(self, selection: Selection) -> str:
        with tempfile.TemporaryDirectory(dir=self._store.tmp, prefix="image-digest-") as empty:
            return (await self._crew.run(DigestFiles(selection, empty), Digested)).digest

    # -- steps

    async def copy(self, op: ops.Copy, parent: Snapshot, source: Result) -> Layer | None:
        selection = Selection(self._files(source), list(op.paths), list(op.exclude), op.parents)
        async with self._stage(parent) as (stage, upper):
            job = CopyFiles(
                stage=stage,
                selection=selection,
                mountpoint=f"{stage.mountpoint}-source",
                destination=op.destination,
                chown=op.chown,
                chmod=op.chmod,
                unpack=op.unpack,
            )
            await self._crew.run(job, Done)
            return await self._finish(upper, parent)

    async def make_directory(self, op: ops.MakeDirectory, parent: Snapshot) -> Layer | None:
        async with self._stage(parent) as (stage, upper):
            await self._crew.run(MakeDirectories(stage, op.path), Done)
            return await self._finish(upper, parent)

    @asynccontextmanager
    async def _stage(self, parent: Snapshot) -> AsyncIterator[tuple[Stage, Path]]:
        """Directories for a new layer; (the stage, the scratch directory with `fs` that becomes it)."""
        made, work = self._lease.scratch("layer"), self._lease.scratch("work")
        for path in (made / "fs", work / "work", work / "root", work / "root-source", work / "empty"):
            path.mkdir(parents=True)
        lower = self._directories(parent) or [str(work / "empty")]
        yield Stage(lower, str(made / "fs"), str(work / "work"), str(work / "root")), made

    async def run(self, op: ops.Run, parent: Snapshot, sources: Mapping[ops.Mount, Result]) -> Layer | None:
        with tempfile.TemporaryDirectory(dir=self._memory, prefix="build-") as memory:
            scratch = self._lease.scratch("mounts")
            scratch.mkdir()
            mounting = Mounting(self._caches, self._options.secrets, self._directories, scratch, Path(memory))
            there = {
                mount: await self._leaves.unpacked(source) if isinstance(source, Tar) else source
                for mount, source in sources.items()
            }
            async with mounting.prepared(op, there) as mounted, self._transients.directory() as directory:
                lower = self._directories(parent)
                if not lower:
                    (scratch / "empty").mkdir()
                    lower = [str(scratch / "empty")]
                host = replace(
                    self._options.host,
                    network_mode=op.network or self._options.host.network_mode,
                    privileged=op.privileged,
                    tmpfs={**self._options.host.tmpfs, **mounted.tmpfs},
                )
                body = ContainerCreate(
                    entrypoint=list(op.arguments[:1]),
                    cmd=list(op.arguments[1:]),
                    env=[*op.environment, *op.proxies, *mounted.environment],
                    working_dir=op.working_dir,
                    user=op.user,
                    host_config=host,
                )
                task = Task(body, _NO_IMAGE, tuple(lower), mounted.mounts, tuple(mounted.volumes))
                code = await self._process(op, directory, task)
                if code:
                    command = " ".join(op.arguments)
                    raise StepFailed(f"The command '{command}' returned a non-zero code: {code}", code)
                made = self._lease.scratch("layer")
                made.mkdir()
                os.rename(f"{directory}/upper", made / "fs")
            (scratch / "finish").mkdir()
            stubs = [mount.target for mount in op.mounts if mount.target]
            return await self._finish(made, parent, stubs, str(scratch / "finish"))

    async def _process(self, op: ops.Run, directory: str, task: Task) -> int:
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            ours.shutdown(socket.SHUT_WR)
            reading = asyncio.create_task(
                read_output(ours, lambda stream, data: self._tell(op, stream, data))
            )
            try:
                code = await self._transients.run(directory, task, theirs.detach())
                await reading
            finally:
                reading.cancel()
        return code

    async def _finish(
        self, made: Path, parent: Snapshot, stubs: Sequence[str] = (), mountpoint: str = ""
    ) -> Layer | None:
        """A layer of the files in `made`/fs, under its chain ID; None when there are none."""
        epoch = -1 if self._options.epoch is None else self._options.epoch
        job = FinishLayer(str(made / "fs"), self._directories(parent), epoch, list(stubs), mountpoint)
        finished = await self._crew.run(job, Finished)
        if finished.empty:
            return None
        layer = Layer(finished.diff_id, finished.size)
        chain_id = parent.with_layer(layer).chain_id
        self._lease.take(layer_key(chain_id))
        if not self._store.has_layer(chain_id):
            self._store.adopt_layer(made, chain_id)
        return layer

    async def rebase(self, layers: Snapshot, parent: Snapshot) -> Snapshot:
        """A layer's files are found by its place in the stack: on top of others it is there once more, hard-linked."""
        standing, moved = Snapshot(), parent
        for layer in layers.layers:
            standing, moved = standing.with_layer(layer), moved.with_layer(layer)
            self._lease.take(layer_key(moved.chain_id))
            if not self._store.has_layer(moved.chain_id):
                made = self._lease.scratch("layer")
                await asyncio.to_thread(_link_tree, self._store.layer(standing.chain_id), made / "fs")
                self._store.adopt_layer(made, moved.chain_id)
        return moved


_NO_IMAGE = Image(id="", platform=None, config=ImageConfig(), diff_ids=())  # type: ignore[arg-type]  # nobody asks


def _link_tree(source: Path, target: Path) -> None:
    """`cp -al`: layers are never written, so they can share their files."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for top, folders, files in os.walk(source):
        place = target / os.path.relpath(top, source)
        place.mkdir(exist_ok=True)
        for name in files:
            os.link(f"{top}/{name}", place / name, follow_symlinks=False)
        for name in folders:
            if os.path.islink(f"{top}/{name}"):
                os.link(f"{top}/{name}", place / name, follow_symlinks=False)
    for top, _, _ in os.walk(source, topdown=False):
        place = target / os.path.relpath(top, source)
        status = os.lstat(top)
        os.chown(place, status.st_uid, status.st_gid)
        os.chmod(place, status.st_mode & 0o7777)
        for attribute in os.listxattr(top):
            os.setxattr(place, attribute, os.getxattr(top, attribute))
        os.utime(place, ns=(status.st_mtime_ns, status.st_mtime_ns))
