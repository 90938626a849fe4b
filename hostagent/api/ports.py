"""What the routes need from below: the engine and the images, as protocols.

The routes decode requests, call one of these methods, and encode the answer; they know nothing else of the
engine. All methods raise hostagent.errors and take their arguments by position. Those without `async` answer
from memory or SQLite at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from hostagent import wire
from hostagent.api.message import Body
from hostagent.build.builder import Request as BuildRequest
from hostagent.build.context import Given
from hostagent.model.commit import CommitOptions
from hostagent.model.image import Image, Platform
from hostagent.model.reference import Reference
from hostagent.model.stream import AttachOptions, Hijacked, Incoming, LogOptions, Upgrade
from hostagent.wire.context import ContextLacks, ContextState
from hostagent.wire.handover import ImageLacks, ImageParts

Filters = dict[str, list[str]]
"""Filter name -> accepted values, whatever form the client used."""

ReportProgress = Callable[[wire.Progress], None]


class Engine(Protocol):
    """Containers, execs, events and facts of the host. `ref` is a name, an ID or an unambiguous ID prefix."""

    async def create(
        self, body: wire.ContainerCreate, name: str | None, platform: str | None, /
    ) -> wire.ContainerCreated: ...

    def list(self, all: bool, limit: int, filters: Filters, /) -> Sequence[wire.ContainerSummary]:
        """`limit` newest containers, 0 = no limit."""

    def inspect(self, ref: str, /) -> wire.ContainerInspect:
        """Without sizes; so is the list."""

    async def start(self, ref: str, detach_keys: str, /) -> None:
        """Raises NotModified when it runs already."""

    async def stop(self, ref: str, signal: str | None, seconds: int | None, /) -> None:
        """`seconds` before SIGKILL, None = the container's own, -1 = for ever. Raises NotModified."""

    async def restart(self, ref: str, signal: str | None, seconds: int | None, /) -> None: ...

    async def kill(self, ref: str, signal: str | None, /) -> None: ...

    async def remove(self, ref: str, force: bool, volumes: bool, link: bool, /) -> None: ...

    async def resize(self, ref: str, height: int, width: int, /) -> None: ...

    async def rename(self, ref: str, name: str, /) -> None: ...

    async def wait(
        self, ref: str, condition: str, take: Callable[[], Awaitable[Hijacked]], /
    ) -> wire.WaitResult | None:
        """The result if it is known already. If not, `take` gives the client's connection, its head sent, and whoever
        outlives the daemon writes the only chunk at the exit; then None."""

    def waiter(self, ref: str, condition: str, /) -> Awaitable[wire.WaitResult]:
        """The same for clients that cannot have the head before the body. Validates at once."""

    def logs(self, ref: str, options: LogOptions, /) -> tuple[bool, AsyncIterator[bytes]]:
        """Whether the container has a TTY, and its log, framed in 8-byte headers unless it has."""

    async def attach(self, ref: str, options: AttachOptions, upgrade: Upgrade, /) -> None:
        """Validates, then calls `upgrade` once and keeps the descriptor."""

    async def exec_create(self, ref: str, config: wire.ExecCreate, /) -> str:
        """The new exec's ID."""

    async def exec_start(
        self,
        exec_id: str,
        detach: bool,
        tty: bool,
        console_size: tuple[int, int] | None,
        upgrade: Upgrade | None,
        /,
    ) -> None:
        """Calls `upgrade` (None when detached) once the exec is known to be good."""

    def exec_inspect(self, exec_id: str, /) -> wire.ExecInspect: ...

    async def exec_resize(self, exec_id: str, height: int, width: int, /) -> None: ...

    def version(self) -> wire.Version: ...

    def info(self) -> wire.Info: ...

    def events(self, since: int | None, until: int | None, filters: Filters, /) -> AsyncIterator[wire.Event]:
        """Past events if a time (ns since 1970) is given, then live ones until `until`. Validates at once."""


class Control(Protocol):
    """Looking at and changing containers that run."""

    async def pause(self, ref: str, /) -> None: ...

    async def unpause(self, ref: str, /) -> None: ...

    async def update(self, ref: str, wanted: wire.HostConfig, /) -> wire.UpdateResult:
        """`wanted` has the fields of Docker's Resources, and a RestartPolicy; what is not given stays."""

    async def stats(self, ref: str, one_shot: bool, /) -> wire.Stats:
        """One sample; without `one_shot` with the one before it."""

    def stats_stream(self, ref: str, /) -> AsyncIterator[wire.Stats]:
        """One a second, for ever."""

    async def top(self, ref: str, arguments: str, /) -> wire.Top:
        """`arguments` are those of ps(1), "" for Docker's default."""


class Images(Protocol):
    """Images on this host and their way from and to registries and archives."""

    def list(self, all: bool, filters: Filters, shared_size: bool, /) -> Sequence[wire.ImageSummary]: ...

    def inspect(self, name: str, /) -> wire.ImageInspect: ...

    def history(self, name: str, /) -> Sequence[wire.HistoryItem]: ...

    async def pull(
        self,
        reference: Reference,
        platform: str | None,
        auth: wire.AuthConfig | None,
        progress: ReportProgress,
        /,
    ) -> object: ...

    async def pull_all(
        self,
        reference: Reference,
        platform: str | None,
        auth: wire.AuthConfig | None,
        progress: ReportProgress,
        /,
    ) -> object:
        """All tags of the repository."""

    async def push(
        self, reference: Reference, auth: wire.AuthConfig | None, progress: ReportProgress
    ) -> object:
        """A reference without tag pushes all tags of the repository."""

    async def load(self, stream: AsyncIterator[bytes], progress: ReportProgress, /) -> object: ...

    def save(self, names: Sequence[str], /) -> AsyncIterator[bytes]:
        """A tar archive; unknown names raise NotFound before its first byte."""

    async def import_(
        self, stream: AsyncIterator[bytes], reference: Reference | None, message: str, changes: Sequence[str]
    ) -> str:
        """The new image's ID."""

    def tag(self, source: str, target: Reference, /) -> None: ...


class ImageRemoval(Protocol):
    """Removal of images, some of which containers hold in use."""

    async def remove(self, name: str, force: bool, prune: bool, /) -> Sequence[wire.ImageDeleted]: ...

    async def prune(self, filters: Filters, /) -> wire.ImagesPruned: ...


class Registries(Protocol):
    """What is asked of registries without moving an image."""

    async def login(self, auth: wire.AuthConfig, /) -> wire.AuthResult: ...

    async def search(
        self, term: str, limit: int, filters: Filters, auth: wire.AuthConfig | None, /
    ) -> Sequence[wire.SearchResult]:
        """`limit` 0 = as many as usual."""

    async def look(
        self, reference: Reference, auth: wire.AuthConfig | None, /
    ) -> wire.DistributionInspect: ...


class Files(Protocol):
    """The files of containers, as tar. What is not there raises NotFound."""

    async def stat(self, ref: str, path: str, /) -> bytes:
        """JSON of a wire.PathStat."""

    async def read(self, ref: str, path: str, /) -> tuple[bytes, AsyncIterator[bytes]]:
        """The same, and the tar."""

    async def write(
        self, ref: str, path: str, tar: AsyncIterator[bytes], copy_owner: bool, keep_kinds: bool, /
    ) -> None:
        """Into the directory `path`; see hostagent.image.filejobs.CopyIn."""

    def export(self, ref: str, /) -> AsyncIterator[bytes]:
        """All files but those of mounts."""


class Shims(Protocol):
    """The keepers of containers that run."""

    def list(self) -> Sequence[wire.ShimFact]: ...


class Volumes(Protocol):
    """Volumes of this host."""

    def list(self, filters: Filters, /) -> Sequence[wire.Volume]: ...

    def inspect(self, name: str, /) -> wire.Volume: ...

    def create(self, body: wire.VolumeCreate, /) -> wire.Volume:
        """The volume that there is already, if its name is taken."""

    async def remove(self, name: str, force: bool, /) -> None:
        """Raises Conflict while containers hold it; `force` forgives only that there is none."""

    async def prune(self, filters: Filters, /) -> wire.VolumesPruned: ...


class VolumeFiles(Protocol):
    """Whole volumes, as tar."""

    def export(self, name: str, /) -> AsyncIterator[bytes]:
        """Raises NotFound and Unsupported at once."""

    async def fill(self, name: str, tar: AsyncIterator[bytes], /) -> None:
        """Into an empty volume, which is made when there is none; raises Conflict for one that has files."""


class Networks(Protocol):
    """Networks of this host. `ref` is a name, an ID or an unambiguous ID prefix."""

    def list(self, filters: Filters, /) -> Sequence[wire.Network]:
        """Without their containers."""

    def inspect(self, ref: str, /) -> wire.Network: ...

    def create(self, body: wire.NetworkCreate, /) -> wire.NetworkCreated: ...

    def remove(self, ref: str, /) -> None:
        """Raises Denied while running containers are on it."""

    def prune(self, filters: Filters, /) -> wire.NetworksPruned: ...


class Connections(Protocol):
    """Containers that join and leave networks, stopped or running."""

    async def connect(self, ref: str, body: wire.NetworkConnect, /) -> None: ...

    async def disconnect(self, ref: str, body: wire.NetworkDisconnect, /) -> None: ...


class Usage(Protocol):
    """What containers, images and volumes take on disk."""

    async def sized(self, found: Sequence[wire.ContainerSummary], /) -> Sequence[wire.ContainerSummary]:
        """The same with their sizes."""

    async def sized_inspect(self, found: wire.ContainerInspect, /) -> wire.ContainerInspect: ...

    async def prune(self, filters: Filters, /) -> wire.ContainersPruned:
        """Remove all containers that do not run and pass the filters."""

    async def disk(self, containers: bool, images: bool, volumes: bool, /) -> wire.DiskUsage:
        """Of what is asked for."""


class Committing(Protocol):
    """What a container changed in its files, and an image of it."""

    async def changes(self, ref: str, /) -> Sequence[wire.FilesystemChange]: ...

    async def commit(self, ref: str, config: wire.Config | None, asked: CommitOptions, /) -> str:
        """The image's ID. What `config` leaves open is the container's."""


class Builds(Protocol):
    """Builds of images."""

    @property
    def platform(self) -> Platform:
        """This host's."""

    async def build(self, request: BuildRequest, context: Body | Given, /) -> Image:
        """`context` is a tar, or on this host. What the build says goes to the request's `say`."""

    def usage(self) -> Sequence[wire.BuildCache]:
        """What is kept for later builds."""

    async def prune(self, everything: bool, keep: int, filters: Filters, /) -> wire.BuildCachePruned:
        """Forget it, but for `keep` bytes of what was used last."""


class ContextStore(Protocol):
    """Contexts of builds that come in parts; see hostagent.build.contexts."""

    async def state(self, name: str, wanted: str, /) -> ContextState: ...

    async def describe(self, name: str, wanted: str, stream: AsyncIterator[bytes], /) -> ContextLacks: ...

    async def receive(self, incoming: Incoming, /) -> None: ...

    def use(self, name: str, wanted: str, /) -> AbstractAsyncContextManager[tuple[str, str]]: ...

    async def usage(self) -> Sequence[wire.BuildCache]: ...

    async def prune(self, keep: int, until_ns: int, /) -> int: ...


class Handover(Protocol):
    """Images from and to other hosts; see hostagent.image.handover."""

    def parts(self, name: str, /) -> ImageParts: ...

    def read(self, name: str, digest: str, offset: int, /) -> AsyncIterator[bytes]: ...

    async def take(self, parts: ImageParts, /) -> ImageLacks: ...


@dataclass(frozen=True)
class Services:
    """Everything that the API is an API of."""

    engine: Engine
    images: Images
    image_removal: ImageRemoval
    registries: Registries
    control: Control
    files: Files
    volumes: Volumes
    volume_files: VolumeFiles
    networks: Networks
    connections: Connections
    shims: Shims
    usage: Usage
    committing: Committing
    builds: Builds
    contexts: ContextStore
    handover: Handover
