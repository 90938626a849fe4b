"""A server on a unix socket in a temporary folder, with a fake engine behind it, and a raw client."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import h11
import pytest

from hostagent.api.application import Application
from hostagent.api.ports import Services
from tests.unit.api.fake_builds import FakeBuilds, FakeContexts
from tests.unit.api.fake_containers import FakeCommitting, FakeControl, FakeFiles, FakeShims, FakeUsage
from tests.unit.api.fake_engine import FakeEngine
from tests.unit.api.fake_images import FakeHandover, FakeImageRemoval, FakeImages, FakeRegistries
from tests.unit.api.fake_places import FakeConnections, FakeNetworks, FakeVolumeFiles, FakeVolumes


@dataclass
class Server:
    path: str
    engine: FakeEngine
    images: FakeImages
    removal: FakeImageRemoval
    registries: FakeRegistries
    control: FakeControl
    builds: FakeBuilds
    app: Application


@dataclass
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One connection; `call` sends a request and reads its answer by h11, `raw` is for what h11 would not do."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.h11 = h11.Connection(h11.CLIENT)

    async def call(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answered:
        given = [(name.replace("_", "-"), value) for name, value in headers.items()]
        head = [("Host", "d"), *given]
        if body:
            head += [("Content-Length", str(len(body))), ("Content-Type", "application/json")]
        if self.h11.our_state is h11.DONE:
            self.h11.start_next_cycle()
        self.writer.write(self.h11.send(h11.Request(method=method, target=target, headers=head)) or b"")
        if body:
            self.writer.write(self.h11.send(h11.Data(data=body)) or b"")
        self.writer.write(self.h11.send(h11.EndOfMessage()) or b"")
        return await self.answer()

    async def answer_to_raw(self, method: str) -> Answered:
        """The answer to a request that was written by hand."""
        self.h11.send(h11.Request(method=method, target="/", headers=[("Host", "d")]))
        self.h11.send(h11.EndOfMessage())
        return await self.answer()

    async def answer(self) -> Answered:
        answered = Answered(0, {}, b"")
        while True:
            event = self.h11.next_event()
            if event is h11.NEED_DATA:
                self.h11.receive_data(await self.reader.read(65536))
            elif isinstance(event, h11.Response):
                answered.status = event.status_code
                answered.headers = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                answered.body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return answered
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionError("closed in the middle of an answer")

    async def head(self) -> str:
        """The head of an answer, for connections that become raw."""
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    with tempfile.TemporaryDirectory(prefix="api") as folder:
        path = str(Path(folder) / "s")
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(path)
        engine, images, removal = FakeEngine(), FakeImages(), FakeImageRemoval()
        control, registries = FakeControl(engine), FakeRegistries()
        builds = FakeBuilds()
        app = Application(
            Services(
                engine=engine,
                images=images,
                image_removal=removal,
                registries=registries,
                control=control,
                files=FakeFiles(),
                volumes=FakeVolumes(),
                volume_files=FakeVolumeFiles(),
                networks=FakeNetworks(),
                connections=FakeConnections(),
                shims=FakeShims(),
                usage=FakeUsage(),
                committing=FakeCommitting(),
                builds=builds,
                contexts=FakeContexts(),
                handover=FakeHandover(),
            )
        )
        await app.listen(listening)
        yield Server(path, engine, images, removal, registries, control, builds, app)
        await app.close()
        for task in list(engine.tasks):
            task.cancel()
        await asyncio.sleep(0.01)


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_unix_connection(server.path)
    yield Client(reader, writer)
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        pass  # a test may have had the connection reset
