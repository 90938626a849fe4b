"""`docker cp` both ways and `docker export`: tar streams between a client and a helper in the container's files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.events import EventBus
from hostagent.engine.files import filestreams, mountspec
from hostagent.engine.files.filestreams import PIECE
from hostagent.engine.files.roots import Roots
from hostagent.engine.life import waiting
from hostagent.errors import Conflict, NotFound, Unavailable
from hostagent.image.crewpool import CrewPool
from hostagent.image.filejobs import CopyIn, CopyOut, Export, FileJob, Root, StatPath, StoppedRoot
from hostagent.image.jobs import Done

EXIT_LIMIT = 5.0  # seconds until the exit of a process that is gone is known


class Copying:
    """Files in and out of containers. `ref` is a name, an ID or an unambiguous ID prefix."""

    def __init__(self, containers: Containers, roots: Roots, events: EventBus, crews: CrewPool) -> None:
        self._containers = containers
        self._roots = roots
        self._events = events
        self._crews = crews

    async def stat(self, ref: str, path: str) -> bytes:
        """JSON of a wire.PathStat. Raises NotFound in Docker's words."""
        container = self._containers.find(ref)
        with _named(path, ref):
            run = self._run(container, lambda root, pipe: StatPath(root, path, pipe))
            async with filestreams.reading(run) as reader:
                return (await reader.readuntil()).rstrip()

    async def read(self, ref: str, path: str) -> tuple[bytes, AsyncIterator[bytes]]:
        """The same, and the tar. The iterator must be closed or read to its end."""
        container = self._containers.find(ref)
        stream = self._tar(container, lambda root, pipe: CopyOut(root, path, pipe), "archive-path", head=True)
        with _named(path, ref):
            head = await anext(stream)
        return head.rstrip(), stream

    def export(self, ref: str) -> AsyncIterator[bytes]:
        """The whole root as tar. Raises NotFound and Conflict at once."""
        container = self._containers.find(ref)
        if container.removing:
            raise Conflict(f"You cannot export container {container.id} which is being removed")
        return self._tar(container, Export, "export", head=False)

    async def write(
        self, ref: str, path: str, tar: AsyncIterator[bytes], copy_owner: bool, keep_kinds: bool
    ) -> None:
        """Unpack `tar` in the directory `path`. `copy_owner`: all files get the container's user."""
        container = self._containers.find(ref)
        mounts = container.mounts
        read_only = [bind.destination for bind in mounts.binds if bind.read_only]
        read_only += [volume.destination for volume in mounts.volumes if volume.read_only]
        writable = sorted(mounts.destinations - {*read_only})
        if container.state.pid:
            writable += [tmpfs.destination for tmpfs in mountspec.parse_tmpfs(container.host)]

        def job(root: Root, pipe: str) -> CopyIn:
            return CopyIn(
                root,
                path,
                pipe,
                writable=writable,
                read_only=read_only,
                read_only_root=container.host.readonly_rootfs,
                owner=container.config.user if copy_owner else "",
                keep_kinds=keep_kinds,
            )

        with _named(path, ref):
            await filestreams.feed(self._run(container, job), tar)
        self._events.publish("container", "extract-to-dir", container.id, container.event_attributes())

    async def _tar(
        self, container: Container, job: Callable[[Root, str], FileJob], action: str, head: bool
    ) -> AsyncIterator[bytes]:
        """First the line before the tar, if it has one; then its pieces."""
        async with filestreams.reading(self._run(container, job)) as reader:
            if head:
                yield await reader.readuntil()
            self._events.publish("container", action, container.id, container.event_attributes())
            while piece := await reader.read(PIECE):
                yield piece

    def _run(self, container: Container, job: Callable[[Root, str], FileJob]) -> filestreams.Run:
        async def run(pipe: str) -> None:
            try:
                await self._visit(container, job, pipe)
            except Unavailable:
                # It ended after all: as soon as this is known, its files are those of a stopped one.
                if container.state.pid:
                    await asyncio.wait({waiting.exit_future(container)}, timeout=EXIT_LIMIT)
                await self._visit(container, job, pipe)

        return run

    async def _visit(self, container: Container, job: Callable[[Root, str], FileJob], pipe: str) -> None:
        async with self._roots.visit(container) as root, self._crews.crew() as crew:
            # Who starts the container next mounts its layers again.
            await crew.run(job(root, pipe), Done, to_its_end=isinstance(root, StoppedRoot))


class _named:
    """A NotFound of the helper's gets Docker's words, with path and container as the client named them."""

    def __init__(self, path: str, ref: str) -> None:
        self._text = f"Could not find the file {path} in container {ref}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, NotFound):
            raise NotFound(self._text) from error
