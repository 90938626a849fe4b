"""Image services without images."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from hostagent import wire
from hostagent.api.ports import Filters, ReportProgress
from hostagent.errors import Conflict, NotFound, Unauthorized
from hostagent.model.reference import Reference
from hostagent.wire.handover import ImageLacks, ImageParts


class FakeImageRemoval:
    """Removes whatever it is asked to."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    async def remove(self, name: str, force: bool, prune: bool, /) -> Sequence[wire.ImageDeleted]:
        self.calls.append(("remove", name, force, prune))
        return [wire.ImageDeleted(untagged=name), wire.ImageDeleted(deleted="sha256:1")]

    async def prune(self, filters: Filters, /) -> wire.ImagesPruned:
        self.calls.append(("prune", filters))
        return wire.ImagesPruned(space_reclaimed=7)


class FakeRegistries:
    """Takes every password but `wrong`."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    async def login(self, auth: wire.AuthConfig, /) -> wire.AuthResult:
        if auth.password == "wrong":
            raise Unauthorized("unauthorized: is the password right?")
        return wire.AuthResult(identity_token="kept")

    async def search(
        self, term: str, limit: int, filters: Filters, auth: wire.AuthConfig | None, /
    ) -> Sequence[wire.SearchResult]:
        self.calls.append(("search", term, limit, filters, auth))
        return [wire.SearchResult(name=term, star_count=3)]

    async def look(self, reference: Reference, auth: wire.AuthConfig | None, /) -> wire.DistributionInspect:
        self.calls.append(("look", str(reference), auth))
        platform = wire.DistributionPlatform(architecture="amd64", os="linux")
        return wire.DistributionInspect(descriptor=wire.Descriptor(size=3), platforms=[platform])


class FakeImages:
    """One image, busybox; `missing` is in no registry, `broken` fails in the middle."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.loaded = 0
        self.pull_cancelled = asyncio.Event()

    def last(self) -> tuple[object, ...]:
        return self.calls[-1]

    def list(self, all: bool, filters: Filters, shared_size: bool, /) -> Sequence[wire.ImageSummary]:
        self.calls.append(("list", all, filters))
        return [
            wire.ImageSummary(id="sha256:" + "ab" * 32, repo_tags=["busybox:latest"], size=1000, created=1)
        ]

    def inspect(self, name: str, /) -> wire.ImageInspect:
        self.calls.append(("inspect", name))
        if "missing" in name:
            raise NotFound(f"No such image: {name}")
        return wire.ImageInspect(id="sha256:" + "ab" * 32, size=1000)

    def history(self, name: str, /) -> Sequence[wire.HistoryItem]:
        self.calls.append(("history", name))
        return [wire.HistoryItem(id="sha256:1", created=1)]

    async def pull(
        self,
        reference: Reference,
        platform: str | None,
        auth: wire.AuthConfig | None,
        progress: ReportProgress,
        /,
    ) -> object:
        self.calls.append(("pull", str(reference), platform, auth))
        if "missing" in reference.path:
            raise NotFound(f"manifest for {reference.familiar} not found: manifest unknown")
        progress(wire.Progress(status="Pulling from library/busybox", id="latest"))
        await asyncio.sleep(0)
        if "broken" in reference.path:
            raise Conflict("digest of layer differs")
        if "slow" in reference.path:
            try:
                await asyncio.Event().wait()
            finally:
                self.pull_cancelled.set()
        progress(
            wire.Progress(
                status="Downloading", id="l1", progress_detail=wire.ProgressDetail(current=1, total=2)
            )
        )
        progress(wire.Progress(status="Status: Downloaded newer image for busybox:latest"))
        return None

    async def pull_all(
        self,
        reference: Reference,
        platform: str | None,
        auth: wire.AuthConfig | None,
        progress: ReportProgress,
        /,
    ) -> None:
        self.calls.append(("pull_all", str(reference), platform, auth))

    async def push(
        self, reference: Reference, auth: wire.AuthConfig | None, progress: ReportProgress, /
    ) -> object:
        self.calls.append(("push", str(reference), auth))
        progress(wire.Progress(status="The push refers to repository [docker.io/library/busybox]"))
        return None

    async def load(self, stream: AsyncIterator[bytes], progress: ReportProgress, /) -> object:
        async for piece in stream:
            self.loaded += len(piece)
        progress(wire.Progress(stream="Loaded image: busybox:latest\n"))
        return None

    async def save(self, names: Sequence[str], /) -> AsyncIterator[bytes]:
        if "missing" in names:
            raise NotFound("No such image: missing")
        for _ in range(64):
            yield b"t" * 65536

    async def import_(
        self,
        stream: AsyncIterator[bytes],
        reference: Reference | None,
        message: str,
        changes: Sequence[str],
        /,
    ) -> str:
        self.calls.append(("import", str(reference), message, list(changes)))
        async for piece in stream:
            self.loaded += len(piece)
        return "sha256:1"

    def tag(self, source: str, target: Reference, /) -> None:
        self.calls.append(("tag", source, str(target)))


class FakeHandover:
    """Has no image to give and takes none."""

    def parts(self, name: str) -> ImageParts:
        raise NotFound(f"No such image: {name}")

    async def read(self, name: str, digest: str, offset: int) -> AsyncIterator[bytes]:
        if not offset:
            raise NotFound(f"No such image: {name}")
        yield b""

    async def take(self, parts: ImageParts) -> ImageLacks:
        return ImageLacks(missing=[layer.digest for layer in parts.layers])
