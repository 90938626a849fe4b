"""The shim's streams against real pipes, sockets and terminals."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hostagent.runtime.logfile import Log, LogFile
from hostagent.runtime.loglines import JsonLines
from hostagent.runtime.loop import Loop
from hostagent.runtime.streams import HIGH, Session


@dataclass
class Process:
    """The far ends of a session's pipes, as a container's process would hold them."""

    session: Session
    loop: Loop
    stdin: int
    stdout: int
    stderr: int
    detached: list[bool] = field(default_factory=list)

    def turn(self, until: Callable[[], bool]) -> None:
        """Run the session's loop until `until()`; a pipe wakes it so that the condition is seen."""
        waker, trigger = os.pipe()
        os.set_blocking(trigger, False)
        stop = threading.Event()

        def poke() -> None:
            while not stop.wait(0.005):
                try:
                    os.write(trigger, b"x")
                except BlockingIOError:
                    continue

        def check(_events: int) -> None:
            os.read(waker, 1000)
            if until():
                self.loop.running = False

        thread = threading.Thread(target=poke)
        self.loop.running = True
        self.loop.watch(waker, 1, check)
        thread.start()
        try:
            self.loop.run()
        finally:
            stop.set()
            thread.join()
            self.loop.unwatch(waker)
            os.close(waker)
            os.close(trigger)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    loop = Loop()
    log = Log(LogFile(str(tmp_path / "log"), JsonLines({})))
    detached: list[bool] = []
    session = Session(loop, log, True, lambda: detached.append(True), lambda: None)
    stdin_read, stdin_write = os.pipe()
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    session.set_stdin(stdin_write)
    session.add_source("stdout", out_read)
    session.add_source("stderr", err_read)
    session.started()
    made = Process(session, loop, stdin_read, out_write, err_write, detached)
    yield made
    for fd in (made.stdout, made.stderr, made.stdin):
        if fd >= 0:
            os.close(fd)
    session.drain()
    log.close()
    loop.close()


def attach(process: Process, **options: object) -> socket.socket:
    ours, theirs = socket.socketpair()
    defaults: dict[str, object] = {"streams": ["stdout", "stderr"], "stdin": True, "multiplexed": False}
    process.session.attach(theirs.detach(), **{**defaults, **options})  # type: ignore[arg-type]  # test shorthand
    return ours


def close_output(process: Process) -> None:
    os.close(process.stdout)
    os.close(process.stderr)
    process.stdout = process.stderr = -1


def test_output_is_framed_and_logged(process: Process, tmp_path: Path) -> None:
    with attach(process, multiplexed=True, stdin=False) as client:
        os.write(process.stdout, b"out\n")
        os.write(process.stderr, b"err\n")
        close_output(process)
        process.turn(lambda: process.session.clients == 0)
        got = b"".join(iter(lambda: client.recv(4096), b""))
    assert sorted(got[i : i + 12] for i in (0, 12)) == [
        struct.pack(">BxxxI", 1, 4) + b"out\n",
        struct.pack(">BxxxI", 2, 4) + b"err\n",
    ]
    assert {b'"stdout"' in line for line in (tmp_path / "log").read_bytes().splitlines()} == {True, False}


def test_half_close_ends_stdin_but_not_the_output(process: Process) -> None:
    with attach(process) as client:
        client.sendall(b"hi")
        client.shutdown(socket.SHUT_WR)
        process.turn(lambda: not process.session.stdin_open)
        assert os.read(process.stdin, 10) == b"hi"
        assert os.read(process.stdin, 10) == b""
        os.write(process.stdout, b"answer")
        close_output(process)
        process.turn(lambda: process.session.clients == 0)
        assert client.recv(100) == b"answer"
        assert client.recv(100) == b""


def test_early_bytes_come_first(process: Process) -> None:
    with attach(process, early=b"early ") as client:
        client.sendall(b"late")
        client.shutdown(socket.SHUT_WR)
        process.turn(lambda: not process.session.stdin_open)
    assert os.read(process.stdin, 100) == b"early late"


def test_a_slow_reader_holds_the_process_back_and_loses_nothing(process: Process) -> None:
    total = 8 * HIGH
    block = bytes(range(256)) * 256

    def produce() -> None:
        for _ in range(total // len(block)):
            os.write(process.stdout, block)
        close_output(process)

    with attach(process, stdin=False) as client:
        producer = threading.Thread(target=produce)
        producer.start()
        process.turn(lambda: process.session.paused)
        assert producer.is_alive(), "the process should have been held back"
        received = bytearray()
        consumer = threading.Thread(target=lambda: received.extend(_read_all(client)))
        consumer.start()
        process.turn(lambda: process.session.clients == 0)
        producer.join()
        consumer.join()
    assert received == block * (total // len(block))


def test_a_vanished_reader_does_not_block(process: Process) -> None:
    client = attach(process, stdin=False)
    block = b"x" * 65536

    def produce() -> None:
        for _ in range(100):
            os.write(process.stdout, block)
        close_output(process)

    producer = threading.Thread(target=produce)
    producer.start()
    process.turn(lambda: process.session.paused)
    client.close()
    process.turn(lambda: process.session.output_ended)
    producer.join()


def test_detach_keys_end_the_attachment_only(process: Process) -> None:
    with attach(process, detach_keys=b"\x10\x11") as client:
        client.sendall(b"a\x10b\x10")
        process.turn(lambda: True)
        client.sendall(b"\x11never")
        process.turn(lambda: process.session.clients == 0)
        assert client.recv(10) == b""
    assert process.detached == [True]
    assert os.read(process.stdin, 100) == b"a\x10b"
    os.write(process.stdout, b"still here\n")


def test_two_clients_see_the_same(process: Process) -> None:
    with attach(process) as first, attach(process, stdin=False) as second:
        os.write(process.stdout, b"both")
        close_output(process)
        process.turn(lambda: process.session.clients == 0)
        assert first.recv(10) == second.recv(10) == b"both"


def _read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def test_a_client_that_still_writes_reads_the_end_not_a_reset() -> None:
    loop = Loop()
    session = Session(loop, None, True, lambda: None, lambda: None)
    ours, theirs = socket.socketpair()
    with ours:
        ours.sendall(b"input that nobody reads")
        session.attach(
            theirs.detach(),
            ("stdout",),
            stdin=True,
            multiplexed=False,
            replay=[("stdout", b"last")],
            stay=False,
        )
        assert ours.recv(100) == b"last"
        assert ours.recv(100) == b""
    loop.close()
