"""What is done to containers beside their life, without any."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from msgspec.structs import replace

from hostagent import wire
from hostagent.api.ports import Filters
from hostagent.model.commit import CommitOptions
from tests.unit.api.fake_engine import FakeEngine


class FakeControl:
    """Knows which of the engine's containers are paused."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self.paused: set[str] = set()
        self.updates: list[wire.HostConfig] = []

    async def pause(self, ref: str) -> None:
        self.paused.add(self._engine.inspect(ref).id)

    async def unpause(self, ref: str) -> None:
        self.paused.remove(self._engine.inspect(ref).id)

    async def update(self, ref: str, wanted: wire.HostConfig) -> wire.UpdateResult:
        self._engine.inspect(ref)
        self.updates.append(wanted)
        return wire.UpdateResult()

    async def top(self, ref: str, arguments: str) -> wire.Top:
        self._engine.inspect(ref)
        return wire.Top(titles=["PID"], processes=[[arguments]])

    async def stats(self, ref: str, one_shot: bool) -> wire.Stats:
        return wire.Stats(id=self._engine.inspect(ref).id, num_procs=int(one_shot))

    def stats_stream(self, ref: str) -> AsyncIterator[wire.Stats]:
        return self._samples(self._engine.inspect(ref).id)

    async def _samples(self, container_id: str) -> AsyncIterator[wire.Stats]:
        for number in range(3):
            yield wire.Stats(id=container_id, num_procs=number)


class FakeFiles:
    """One file, as the only member of no archive."""

    async def stat(self, ref: str, path: str) -> bytes:
        return b'{"name": "file"}'

    async def read(self, ref: str, path: str) -> tuple[bytes, AsyncIterator[bytes]]:
        return b'{"name": "file"}', self.export(ref)

    async def write(
        self, ref: str, path: str, tar: AsyncIterator[bytes], copy_owner: bool, keep_kinds: bool
    ) -> None:
        async for _ in tar:
            pass

    async def export(self, ref: str) -> AsyncIterator[bytes]:
        yield b"tar of "
        yield ref.encode()


class FakeShims:
    """api.ports.Shims with one shim of an older version."""

    def list(self) -> list[wire.ShimFact]:
        return [wire.ShimFact(id="a" * 64, name="box", protocol=1, current=False)]


class FakeUsage:
    """Everything has one byte."""

    async def sized(self, found: Sequence[wire.ContainerSummary]) -> Sequence[wire.ContainerSummary]:
        return [replace(each, size_rw=1, size_root_fs=1) for each in found]

    async def sized_inspect(self, found: wire.ContainerInspect) -> wire.ContainerInspect:
        return replace(found, size_rw=1, size_root_fs=1)

    async def prune(self, filters: Filters) -> wire.ContainersPruned:
        return wire.ContainersPruned(space_reclaimed=1)

    async def disk(self, containers: bool, images: bool, volumes: bool) -> wire.DiskUsage:
        return wire.DiskUsage(layers_size=1)


class FakeCommitting:
    """Finds one change, makes one image."""

    async def changes(self, ref: str) -> Sequence[wire.FilesystemChange]:
        return [wire.FilesystemChange(path="/new", kind=1)]

    async def commit(self, ref: str, config: wire.Config | None, asked: CommitOptions) -> str:
        return "sha256:" + "cd" * 32
