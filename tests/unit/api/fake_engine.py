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
from dataclasses import dataclass, field

from hostagent import wire
from hostagent.api.ports import Filters
from hostagent.errors import Conflict, NotFound, NotModified
from hostagent.model.stream import AttachOptions, Hijacked, LogOptions, Upgrade


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


async def say(hijacked: Hijacked, container: FakeContainer, data: bytes) -> None:
    """A process that prints and ends; `data` must fit the socket's buffer."""
    await container.started.wait()
    os.write(hijacked.fd, data)
    os.close(hijacked.fd)
    finish(container, 3)
