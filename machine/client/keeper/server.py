"""The keeper's composition root: listeners, the link, pipes, forwards, and the end."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Final

import msgspec

from machine.client.keeper.forwarding import LocalForward, ReverseForwards
from machine.client.keeper.link import Link
from machine.client.keeper.pipe import Pipe, post
from machine.client.keeper.protocol import (
    VERSION,
    AddForward,
    Answer,
    Failure,
    Forward,
    Ping,
    RemoveForward,
    Request,
    Status,
    Stop,
)
from machine.client.keeper.refusal import kind_of, refuse
from machine.errors import Conflict, MachineError, NotFound, Unavailable
from machine.model.machine import Machine
from machine.model.namespace import network_namespace
from machine.ssh.connection import Connection
from machine.ssh.streamlocal import begin_streamlocal

log = logging.getLogger("keeper")

TICK: Final = 2.0
_ENGINE_PATIENCE: Final = 3.0  # seconds for a host that has booted so far that only the engine's socket lacks
_LAST_WORDS: Final = 1.0  # seconds in which everyone who waits hears why a link is refused


class Keeper:
    """Serves two bound sockets until it was idle for `idle` seconds, is told to stop, or the host is refused."""

    def __init__(self, record: Path, *, passphrase: str | None, idle: float) -> None:
        self._record = record
        self._idle = idle
        self._loop = asyncio.get_running_loop()
        self._link = Link(
            self._loop, record, passphrase, prepare=self._renew_forwards, lost=self._connection_lost
        )
        self._reverse = ReverseForwards(self._loop, self._link, self._new_pipe)
        self._pipes: set[Pipe] = set()
        self._forwards: dict[int, Forward] = {}
        self._local: dict[int, LocalForward] = {}
        self._numbers = 0
        self._busy = 0  # requests that are not pipes yet
        self._keep_until = time.monotonic() + idle
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, engine: socket.socket, control: socket.socket) -> None:
        """Returns when it is over; the caller closes and unlinks the sockets."""
        engine.setblocking(False)
        self._loop.add_reader(engine, self._accept, engine)
        server = await asyncio.start_unix_server(self._control, sock=control)
        # The first program is about to ask: the handshake begins now.
        self._link.want(lambda outcome: None)
        ticker = self._loop.create_task(self._tick())
        try:
            await self._stop.wait()
        finally:
            ticker.cancel()
            self._loop.remove_reader(engine)
            server.close()
            for forward in self._local.values():
                forward.close()
            for pipe in list(self._pipes):
                pipe.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, ticker, return_exceptions=True)
            self._link.close()

    # -- connections to the engine

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return  # all of them for now
            self._request(sock, time.monotonic() + _ENGINE_PATIENCE)

    def _request(self, sock: socket.socket, end: float) -> None:
        self._busy += 1
        self._link.want(lambda got: self._open(sock, end, got))

    def _open(self, sock: socket.socket, end: float, got: Connection | MachineError) -> None:
        if isinstance(got, MachineError):
            self._busy -= 1
            self._refuse(sock, got)
            return
        pipe = self._new_pipe()
        self._link.opening(1)

        def settled() -> None:
            self._link.opening(-1)
            self._busy -= 1
            if channel.active:
                pipe.connect(sock)
                return
            pipe.close()
            if not got.alive:
                # It died under us; the next one will do.
                self._request(sock, end)
            elif time.monotonic() < end:
                self._busy += 1
                self._loop.call_later(0.2, self._again, sock, end)
            else:
                self._refuse(sock, _no_engine(got.machine))

        channel = begin_streamlocal(
            got.transport, got.machine.engine_socket, lambda: post(self._loop, settled), pipe.attach
        )

    def _again(self, sock: socket.socket, end: float) -> None:
        self._busy -= 1
        self._request(sock, end)

    def _refuse(self, sock: socket.socket, error: MachineError) -> None:
        self._start(refuse(self._loop, sock, error))
        if self._link.refused:
            # Nothing will change by itself: a fresh keeper reads a fresh record.
            self._loop.call_later(_LAST_WORDS, self._stop.set)

    def _new_pipe(self) -> Pipe:
        """Also from paramiko's thread (set.add is atomic)."""
        pipe = Pipe(self._loop, self._pipes.discard)
        self._pipes.add(pipe)
        return pipe

    def _connection_lost(self) -> None:
        """Channels of a dead connection end by themselves; forwards need a new one even when nobody asks."""
        if any(forward.reverse for forward in self._forwards.values()) and not self._stop.is_set():
            self._link.want(lambda outcome: None)

    # -- time

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self._link.watch()
            for pipe in list(self._pipes):
                pipe.notice_hangup()
            now = time.monotonic()
            if self._pipes or self._busy or self._forwards:
                self._keep_until = max(self._keep_until, now + self._idle)
            elif now > self._keep_until:
                log.info("idle for %g s: ending", self._idle)
                self._stop.set()

    # -- control

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(30):
                line = await reader.readline()
                if line:
                    writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
                    await writer.drain()
        except (OSError, TimeoutError):
            pass  # whoever asked is gone
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            request = msgspec.json.decode(line, type=Request)
            match request:
                case Ping(keep_for):
                    self._keep_until = max(self._keep_until, time.monotonic() + max(keep_for, self._idle))
                case Stop():
                    log.info("told to stop")
                    self._loop.call_later(0.05, self._stop.set)
                case AddForward():
                    return await self._add(request)
                case RemoveForward(number):
                    await self._remove(number)
        except msgspec.DecodeError as error:
            return Failure("unavailable", f"not a request that this keeper knows: {error}")
        except (Conflict, NotFound) as error:
            return Failure("conflict", str(error))
        except MachineError as error:
            return Failure(kind_of(error), str(error))
        return self._status()

    def _status(self) -> Status:
        return Status(
            pid=os.getpid(),
            version=VERSION,
            connected=self._link.connection is not None,
            handshakes=self._link.handshakes,
            pipes=len(self._pipes),
            forwards=list(self._forwards.values()),
            error=str(self._link.error or ""),
            namespace=network_namespace(),
        )

    async def _add(self, asked: AddForward) -> Forward:
        for there in self._forwards.values():
            if there.reverse == asked.reverse and there.listen == asked.listen:
                if there.target == asked.target:
                    return there
                raise Conflict(
                    f"{there.listen[0]}:{there.listen[1]} leads to {there.target[0]}:{there.target[1]} already: "
                    f"remove that forward first"
                )
        if asked.reverse:
            connection = await self._connection()
            listen = await asyncio.to_thread(self._reverse.request, connection, asked.listen, asked.target)
            self._numbers += 1
        else:
            local = LocalForward(self._loop, self._link, self._new_pipe)
            listen = local.open(asked.listen, asked.target)
            self._numbers += 1
            self._local[self._numbers] = local
        forward = Forward(self._numbers, listen, asked.target, asked.reverse)
        self._forwards[forward.number] = forward
        return forward

    async def _remove(self, number: int) -> None:
        forward = self._forwards.pop(number, None)
        if forward is None:
            raise NotFound(f"there is no forward {number}")
        if forward.reverse:
            await asyncio.to_thread(self._reverse.cancel, self._link.connection, forward.listen)
        else:
            self._local.pop(number).close()

    async def _connection(self) -> Connection:
        got: asyncio.Future[Connection | MachineError] = self._loop.create_future()
        self._link.want(lambda outcome: None if got.done() else got.set_result(outcome))
        outcome = await got
        if isinstance(outcome, MachineError):
            raise outcome
        return outcome

    def _renew_forwards(self, connection: Connection) -> None:
        """In the connecting thread: reverse forwards belong to a connection and are asked for again."""
        wanted = [forward for forward in self._forwards.values() if forward.reverse]
        problems = self._reverse.renew(connection, wanted)
        post(self._loop, self._note_problems, problems)

    def _note_problems(self, problems: dict[int, str]) -> None:
        for number, problem in problems.items():
            if number in self._forwards:
                self._forwards[number] = msgspec.structs.replace(self._forwards[number], problem=problem)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _no_engine(machine: Machine) -> Unavailable:
    return Unavailable(
        f"{machine.name} is up, but no engine listens on {machine.engine_socket} there: look with "
        f"`pymachine ssh {machine.name} systemctl status pymachine`, or install it again with pymachine create"
    )
