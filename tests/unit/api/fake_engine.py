"""An engine and an image service that run nothing, behind the protocols of hostagent.api.ports.

A "container" copies its stdin to its stdout until EOF and then exits with the number of bytes it got.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from msgspec.structs import replace

from hostagent import wire
from hostagent.api.ports import Filters, ReportProgress
from hostagent.build.builder import Body
from hostagent.build.builder import Request as BuildRequest
from hostagent.build.context import Given
from hostagent.errors import Conflict, NotFound, NotModified, Unauthorized
from hostagent.image.incoming import BodyReader
from hostagent.kernel.fds import owned
from hostagent.model.commit import CommitOptions
from hostagent.model.image import Image, ImageConfig, Platform
from hostagent.model.reference import Reference
from hostagent.model.stream import AttachOptions, Hijacked, Incoming, LogOptions, Upgrade
from hostagent.wire.context import ContextLacks, ContextState
from hostagent.wire.handover import ImageLacks, ImageParts


def frame(channel: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", channel, len(data)) + data


@dataclass
class FakeContainer:
    id: str
    name: str
    config: wire.ContainerCreate
    state: str = "created"
    exit_code: int = 0
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    removed: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    stream: asyncio.Task[None] | None = None
    output: bytes = b""
    on_exit: Callable[[str, int], None] = lambda container_id, code: None


async def echo(hijacked: Hijacked, container: FakeContainer, tty: bool) -> None:
    """What a shim does with an attached client: everything back, then exit."""
    loop = asyncio.get_running_loop()
    with socket.socket(fileno=hijacked.fd) as sock:
        await container.started.wait()
        data = hijacked.early
        while True:
            if data:
                container.output += data
                await loop.sock_sendall(sock, data if tty else frame(1, data))
            data = await loop.sock_recv(sock, 65536)
            if not data:
                break
    finish(container, len(container.output) % 256)


def finish(container: FakeContainer, code: int) -> None:
    container.state, container.exit_code = "exited", code
    container.exited.set()
    container.on_exit(container.id, code)
    host = container.config.host_config
    if host is not None and host.auto_remove:
        container.removed.set()


class FakeEngine:
    """Remembers its calls in `calls`; `gate` holds what a test wants held."""

    def __init__(self) -> None:
        self.containers: dict[str, FakeContainer] = {}
        self.calls: list[tuple[object, ...]] = []
        self.execs: dict[str, wire.ExecCreate] = {}
        self.upgrade_gate = asyncio.Event()
        self.upgrade_gate.set()
        self.log_chunks: list[bytes] = [frame(1, b"one\n"), frame(2, b"two\n")]
        self.log_closed = asyncio.Event()
        self.live_events: asyncio.Queue[wire.Event] = asyncio.Queue()
        self.early: list[bytes] = []
        self.tasks: set[asyncio.Task[None]] = set()

    def last(self) -> tuple[object, ...]:
        return self.calls[-1]

    def find(self, ref: str) -> FakeContainer:
        for one in self.containers.values():
            if one.name == ref or one.id.startswith(ref):
                return one
        raise NotFound(f"No such container: {ref}")

    def tell(self, container_id: str, code: int) -> None:
        """Clients before API 1.30 learn of an exit from the events."""
        actor = wire.Actor(id=container_id, attributes={"exitCode": str(code)})
        self.live_events.put_nowait(
            wire.Event(type="container", action="die", status="die", id=container_id, actor=actor)
        )

    def spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def create(
        self, config: wire.ContainerCreate, name: str | None, platform: str | None, /
    ) -> wire.ContainerCreated:
        self.calls.append(("create", name, platform, config))
        if config.image == "missing":
            raise NotFound("No such image: missing:latest")
        if any(one.name == name for one in self.containers.values()):
            raise Conflict(f'Conflict. The container name "/{name}" is already in use')
        new = hashlib.sha256(f"{len(self.containers)}".encode()).hexdigest()
        container = FakeContainer(new, name or f"name{len(self.containers)}", config, on_exit=self.tell)
        self.containers[new] = container
        return wire.ContainerCreated(id=new)

    def list(self, all: bool, limit: int, filters: Filters, /) -> Sequence[wire.ContainerSummary]:
        self.calls.append(("list", all, limit, filters))
        return [
            wire.ContainerSummary(id=one.id, names=["/" + one.name], image=one.config.image, state=one.state)
            for one in self.containers.values()
        ]

    def inspect(self, ref: str, /) -> wire.ContainerInspect:
        one = self.find(ref)
        running = one.state == "running"
        return wire.ContainerInspect(
            id=one.id,
            name="/" + one.name,
            state=wire.ContainerState(status=one.state, running=running, exit_code=one.exit_code),
            config=one.config,
            host_config=one.config.host_config or wire.HostConfig(),
        )

    async def start(self, ref: str, detach_keys: str, /) -> None:
        one = self.find(ref)
        self.calls.append(("start", one.name))
        if one.state == "running":
            raise NotModified("running")
        one.state = "running"
        one.started.set()
        if one.stream is None and one.config.cmd != ["sleep"]:
            finish(one, 0)

    async def stop(self, ref: str, signal: str | None, seconds: int | None, /) -> None:
        self.calls.append(("stop", ref, signal, seconds))
        one = self.find(ref)
        if one.state != "running":
            raise NotModified("stopped")
        finish(one, 143)

    async def restart(self, ref: str, signal: str | None, seconds: int | None, /) -> None:
        self.calls.append(("restart", ref, signal, seconds))

    async def kill(self, ref: str, signal: str | None, /) -> None:
        self.calls.append(("kill", ref, signal))
        finish(self.find(ref), 137)

    async def remove(self, ref: str, force: bool, volumes: bool, link: bool, /) -> None:
        self.calls.append(("remove", ref, force, volumes, link))
        one = self.find(ref)
        if one.state == "running" and not force:
            raise Conflict(f"cannot remove container {one.name}: it is running: stop it first, or use force")
        del self.containers[one.id]

    async def resize(self, ref: str, height: int, width: int, /) -> None:
        self.calls.append(("resize", ref, height, width))

    async def rename(self, ref: str, name: str, /) -> None:
        self.find(ref).name = name

    async def wait(
        self, ref: str, condition: str, take: Callable[[], Awaitable[Hijacked]], /
    ) -> wire.WaitResult | None:
        one = self.find(ref)
        self.calls.append(("wait", one.name, condition))
        if condition == "not-running" and one.state == "exited":
            return wire.WaitResult(status_code=one.exit_code)
        hijacked = await take()
        self.spawn(self.answer_wait(one, condition, hijacked.fd))
        return None

    async def answer_wait(self, one: FakeContainer, condition: str, fd: int) -> None:
        """What a shim does at the exit."""
        try:
            await (one.removed if condition == "removed" else one.exited).wait()
            body = wire.encode(wire.WaitResult(status_code=one.exit_code)) + b"\n"
            os.write(fd, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        finally:
            os.close(fd)

    def waiter(self, ref: str, condition: str, /) -> Awaitable[wire.WaitResult]:
        one = self.find(ref)
        self.calls.append(("wait", one.name, condition))

        async def wait() -> wire.WaitResult:
            await (one.removed if condition == "removed" else one.exited).wait()
            return wire.WaitResult(status_code=one.exit_code)

        return asyncio.ensure_future(wait())

    def logs(self, ref: str, options: LogOptions, /) -> tuple[bool, AsyncIterator[bytes]]:
        one = self.find(ref)
        self.calls.append(("logs", ref, options))
        return one.config.tty, self._log(options.follow)

    async def _log(self, follow: bool) -> AsyncIterator[bytes]:
        try:
            for chunk in self.log_chunks:
                yield chunk
            if follow:
                await asyncio.Event().wait()
        finally:
            self.log_closed.set()

    async def attach(self, ref: str, options: AttachOptions, upgrade: Upgrade, /) -> None:
        one = self.find(ref)
        self.calls.append(("attach", one.name, options))
        await self.upgrade_gate.wait()
        tty = one.config.tty
        hijacked = await upgrade(not tty)
        self.early.append(hijacked.early)
        if options.stdin:
            one.stream = asyncio.ensure_future(echo(hijacked, one, tty))
            self.spawn(one.stream)
        else:
            one.stream = asyncio.ensure_future(say(hijacked, one, frame(1, b"hello\n")))
            self.spawn(one.stream)

    async def exec_create(self, ref: str, config: wire.ExecCreate, /) -> str:
        self.find(ref)
        self.execs["e1"] = config
        self.calls.append(("exec_create", ref, config))
        return "e1"

    async def exec_start(
        self,
        exec_id: str,
        detach: bool,
        tty: bool,
        console_size: tuple[int, int] | None,
        upgrade: Upgrade | None,
        /,
    ) -> None:
        self.calls.append(("exec_start", exec_id, detach, tty, console_size))
        if exec_id not in self.execs:
            raise NotFound(f"No such exec instance: {exec_id}")
        if upgrade is None:
            return
        hijacked = await upgrade(not tty)
        container = FakeContainer("x", "x", wire.ContainerCreate())
        container.started.set()
        if self.execs[exec_id].attach_stdin:
            self.spawn(echo(hijacked, container, tty))
        else:
            self.spawn(say(hijacked, container, frame(1, b"exec output\n")))

    def exec_inspect(self, exec_id: str, /) -> wire.ExecInspect:
        return wire.ExecInspect(id=exec_id, exit_code=7, container_id="c")

    async def exec_resize(self, exec_id: str, height: int, width: int, /) -> None:
        self.calls.append(("exec_resize", exec_id, height, width))

    def version(self) -> wire.Version:
        return wire.Version(
            platform=wire.PlatformName(name="fake engine"),
            version="26.1.0",
            api_version="1.47",
            min_api_version="1.24",
            arch="amd64",
            go_version="none",
        )

    def info(self) -> wire.Info:
        return wire.Info(id="fake", name="host", server_version="26.1.0", n_cpu=2)

    async def events(
        self, since: int | None, until: int | None, filters: Filters, /
    ) -> AsyncIterator[wire.Event]:
        self.calls.append(("events", since, until, filters))
        while True:
            yield await self.live_events.get()


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


async def say(hijacked: Hijacked, container: FakeContainer, data: bytes) -> None:
    """A process that prints and ends; `data` must fit the socket's buffer."""
    await container.started.wait()
    os.write(hijacked.fd, data)
    os.close(hijacked.fd)
    finish(container, 3)


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


class FakeNetworks:
    """The predefined bridge network, and those that were made."""

    def __init__(self) -> None:
        self.made: dict[str, wire.Network] = {"bridge": wire.Network(name="bridge", id="b" * 64)}

    def list(self, filters: Filters) -> Sequence[wire.Network]:
        return list(self.made.values())

    def inspect(self, ref: str) -> wire.Network:
        if ref not in self.made:
            raise NotFound(f"network {ref} not found")
        return self.made[ref]

    def create(self, body: wire.NetworkCreate) -> wire.NetworkCreated:
        self.made[body.name] = wire.Network(name=body.name, id=body.name)
        return wire.NetworkCreated(id=body.name)

    def remove(self, ref: str) -> None:
        del self.made[self.inspect(ref).name]

    def prune(self, filters: Filters) -> wire.NetworksPruned:
        return wire.NetworksPruned(networks_deleted=[name for name in self.made if name != "bridge"])


class FakeConnections:
    """Who was connected to what."""

    def __init__(self) -> None:
        self.on: list[tuple[str, str]] = []

    async def connect(self, ref: str, body: wire.NetworkConnect) -> None:
        self.on.append((ref, body.container))

    async def disconnect(self, ref: str, body: wire.NetworkDisconnect) -> None:
        if (ref, body.container) not in self.on:
            raise NotFound(f"container {body.container} is not connected to network {ref}")
        self.on.remove((ref, body.container))


class FakeVolumes:
    """Volumes without data; `held` is in use."""

    def __init__(self) -> None:
        self.volumes = {"held": wire.Volume(name="held")}

    def list(self, filters: Filters) -> Sequence[wire.Volume]:
        wanted = filters.get("name", [])
        return [volume for name, volume in self.volumes.items() if not wanted or name in wanted]

    def inspect(self, name: str) -> wire.Volume:
        if name not in self.volumes:
            raise NotFound(f"get {name}: no such volume")
        return self.volumes[name]

    def create(self, body: wire.VolumeCreate) -> wire.Volume:
        return self.volumes.setdefault(body.name, wire.Volume(name=body.name, labels=body.labels))

    async def remove(self, name: str, force: bool) -> None:
        if name == "held":
            raise Conflict(f"remove {name}: volume is in use - [1]")
        if name in self.volumes or not force:
            del self.volumes[self.inspect(name).name]

    async def prune(self, filters: Filters) -> wire.VolumesPruned:
        return wire.VolumesPruned(volumes_deleted=sorted(filters.get("all", [])))


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


def _received(incoming: Incoming) -> bytes:
    """The body, as a worker reads it."""
    with owned(incoming.fd):
        reader, pieces = BodyReader(incoming.fd, incoming.early, incoming.length), []
        while piece := reader.piece():
            pieces.append(piece)
    return b"".join(pieces)


class FakeBuilds:
    """Keeps what was asked; the image has a fixed ID."""

    platform = Platform("linux", "amd64")

    def __init__(self) -> None:
        self.asked: list[BuildRequest] = []
        self.received = b""

    async def build(self, request: BuildRequest, context: Body | Given) -> Image:
        self.asked.append(request)
        if not isinstance(context, Given):
            with context.lend() as incoming:
                self.received = await asyncio.to_thread(_received, incoming)
        request.say("Step 1/1 : FROM x\n")
        return Image(f"sha256:{'0' * 64}", self.platform, ImageConfig(), ())

    def usage(self) -> list[wire.BuildCache]:
        return []

    async def prune(
        self, everything: bool, keep: int, filters: dict[str, list[str]]
    ) -> wire.BuildCachePruned:
        return wire.BuildCachePruned()


class FakeContexts:
    """Has none and takes none."""

    async def state(self, name: str, wanted: str) -> ContextState:
        return ContextState()

    async def describe(self, name: str, wanted: str, stream: AsyncIterator[bytes]) -> ContextLacks:
        raise Conflict("no contexts here")

    async def receive(self, stream: AsyncIterator[bytes]) -> None:
        raise Conflict("no contexts here")

    @asynccontextmanager
    async def use(self, name: str, wanted: str) -> AsyncIterator[str]:
        if wanted:
            raise NotFound("no contexts here")
        yield ""

    async def usage(self) -> Sequence[wire.BuildCache]:
        return []

    async def prune(self, keep: int, until_ns: int) -> int:
        return 0


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
