"""Volumes as tar streams, for backups and for moving them to another host."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable

from hostagent.engine.files import filestreams
from hostagent.engine.files.filestreams import PIECE, Run
from hostagent.engine.files.volumes import Volumes
from hostagent.errors import Conflict, NotFound, Unsupported
from hostagent.image.crewpool import CrewPool
from hostagent.image.filejobs import CopyIn, DirectoryRoot, Export, FileJob
from hostagent.image.jobs import Done
from hostagent.volume.directory import is_empty

_Job = Callable[[str], FileJob]


class VolumeFiles:
    """A volume in use may be read and written too; its containers then see files come, and may change them."""

    def __init__(self, volumes: Volumes, crews: CrewPool) -> None:
        self._volumes = volumes
        self._crews = crews

    def export(self, name: str) -> AsyncIterator[bytes]:
        """The whole volume. Raises NotFound and Unsupported at once."""
        root = DirectoryRoot(self._directory(name))
        return self._pieces(name, lambda pipe: Export(root, pipe, faithful=True))

    async def fill(self, name: str, tar: AsyncIterator[bytes]) -> None:
        """Unpack `tar` into an empty volume, which is made when there is none. Conflict when it has files."""
        try:
            self._volumes.get(name)
            new = False
        except NotFound:
            self._volumes.ensure(name, "", None, None)
            new = True
        try:
            with _Held(self._volumes, name):
                await self._fill(name, tar)
        except BaseException:
            if new:
                await self._volumes.remove_unused([name])
            raise

    async def _fill(self, name: str, tar: AsyncIterator[bytes]) -> None:
        directory = self._directory(name)
        if not is_empty(directory):
            raise Conflict(f"the volume {name} has files: import into a new one, or remove this one first")

        def job(pipe: str) -> CopyIn:
            return CopyIn(
                DirectoryRoot(directory),
                "/",
                pipe,
                writable=[],
                read_only=[],
                read_only_root=False,
                owner="",
                keep_kinds=False,
                with_top=True,
            )

        await filestreams.feed(self._run(job), tar)

    async def _pieces(self, name: str, job: _Job) -> AsyncIterator[bytes]:
        with _Held(self._volumes, name):
            async with filestreams.reading(self._run(job)) as reader:
                while piece := await reader.read(PIECE):
                    yield piece

    def _run(self, job: _Job) -> Run:
        async def run(pipe: str) -> None:
            async with self._crews.crew() as crew:
                await crew.run(job(pipe), Done)

        return run

    def _directory(self, name: str) -> str:
        filesystem = self._volumes.get(name).filesystem
        if filesystem is None:
            return self._volumes.inspect(name).mountpoint
        if filesystem.bind:
            return filesystem.device
        raise Unsupported(
            f"the volume {name} is another file system ({filesystem.kind}), which is mounted only in containers: "
            "copy its files out of one (docker cp)"
        )


class _Held:
    """Nobody removes the volume meanwhile."""

    def __init__(self, volumes: Volumes, name: str) -> None:
        self._volumes, self._name, self._holder = volumes, name, f"transfer-{secrets.token_hex(4)}"

    def __enter__(self) -> None:
        self._volumes.hold(self._name, self._holder)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._volumes.let_go(self._name, self._holder)
