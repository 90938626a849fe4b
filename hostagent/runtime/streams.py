"""A process's standard streams inside the shim: read once, logged first, then fanned out to whoever is attached.

Back-pressure (design.md, rule 8): a live client that reads slowly stops us reading from the process once HIGH bytes
wait for it, so `docker run x | slow` loses nothing; a client that vanished or detached never blocks, because its socket
says so (EPIPE, HUP) and it is dropped.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence

from hostagent.runtime.client import CHUNK, Client
from hostagent.runtime.logfile import Log
from hostagent.runtime.loop import READ, WRITE, Loop

DRAIN_MAX = 4 * 1024 * 1024
"""Bytes of one stream that are read after its process's end: more than the largest pipe holds (1 MiB, pipe(7)). Only
a process that ran away from its container can go on writing."""
HIGH = 1024 * 1024
"""Bytes that may wait for one client before its process is no longer read."""


class Session:
    """The streams of one process (the container's first, or an exec): sources, log, input, clients."""

    def __init__(
        self,
        loop: Loop,
        log: Log | None,
        close_stdin_at_eof: bool,
        on_detach: Callable[[], None],
        on_output_end: Callable[[], None],
        until_drained: bool = False,
    ) -> None:
        """With `until_drained` clients stay until `drain`, also when the process has closed its output: a client of
        an exec asks for the exit code as soon as its stream ends."""
        self._loop = loop
        self._log = log
        self._close_stdin_at_eof = close_stdin_at_eof
        self._on_detach = on_detach
        self._on_output_end = on_output_end
        self._held = until_drained
        self._sources: dict[str, int] = {}
        self._paused = False
        self._stdin = -1
        self._stdin_queue: list[bytes] = []
        self._stdin_closing = False
        self._clients: list[Client] = []
        self._started = False
        self.terminal = -1
        """The pty's master, which is also the only source and the stdin."""

    # -- wiring

    def add_source(self, stream: str, fd: int) -> None:
        os.set_blocking(fd, False)
        self._sources[stream] = fd
        self._watch_source(stream, fd)

    def set_stdin(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._stdin = fd
        self._flush_stdin()

    def set_terminal(self, master: int) -> None:
        self.terminal = master
        self.add_source("stdout", master)
        # A dup, so that reading and writing are watched (and closed) apart.
        self.set_stdin(os.dup(master))

    def attach(
        self,
        fd: int,
        streams: Sequence[str],
        stdin: bool,
        multiplexed: bool,
        detach_keys: bytes = b"",
        early: bytes = b"",
        replay: Sequence[tuple[str, bytes]] = (),
        stay: bool = True,
    ) -> None:
        """Take over a client's connection; `replay` goes out before anything new."""
        client = Client(self._loop, self, fd, frozenset(streams), multiplexed, stdin, detach_keys)
        self._clients.append(client)
        for stream, data in replay:
            client.send(stream, data)
        if not stay or self.output_ended:
            client.finish()
            return
        if stdin and early:
            client.feed(early)

    @property
    def output_ended(self) -> bool:
        return not self._sources and self._started and not self._held

    def started(self) -> None:
        """From now on, no source left means that the output has ended."""
        self._started = True

    @property
    def clients(self) -> int:
        return len(self._clients)

    @property
    def stdin_open(self) -> bool:
        return self._stdin >= 0

    @property
    def paused(self) -> bool:
        """A client is so far behind that the process is not read."""
        return self._paused

    # -- process -> log, clients

    def _watch_source(self, stream: str, fd: int) -> None:
        self._loop.watch(fd, READ, lambda _events: self._read_source(stream, fd))

    def _read_source(self, stream: str, fd: int) -> None:
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:  # a pty master whose last slave was closed says EIO
                raise
            data = b""
        if not data:
            self._end_source(stream, fd)
            return
        self._output(stream, data)

    def _output(self, stream: str, data: bytes) -> None:
        if self._log:
            self._log.write(stream, data)
        for client in tuple(self._clients):
            client.send(stream, data)
        if not self._paused and any(client.waiting > HIGH for client in self._clients):
            self._paused = True
            for fd in self._sources.values():
                self._loop.unwatch(fd)

    def drained(self) -> None:
        if self._paused and not any(client.waiting > HIGH // 2 for client in self._clients):
            self._paused = False
            for stream, fd in self._sources.items():
                self._watch_source(stream, fd)

    def _end_source(self, stream: str, fd: int) -> None:
        self._loop.unwatch(fd)
        del self._sources[stream]
        os.close(fd)
        if self._log:
            self._log.end(stream)
        if not self._sources and not self._held:
            self._finish()

    def drain(self) -> None:
        """The process is gone: read what it left in its pipes, then end. Bounded by the pipes' size."""
        self._held = False
        for stream, fd in tuple(self._sources.items()):
            left = DRAIN_MAX
            while stream in self._sources:
                try:
                    data = os.read(fd, CHUNK) if left > 0 else b""
                except OSError:  # empty (EAGAIN), or a terminal without slaves (EIO)
                    data = b""
                left -= len(data)
                if not data:
                    self._end_source(stream, fd)
                else:
                    self._output(stream, data)
        if not self._sources and self._started:
            self._finish()

    def _finish(self) -> None:
        self.close_stdin()
        for client in tuple(self._clients):
            client.finish()
        self._on_output_end()

    # -- clients -> process

    def input(self, client: Client, data: bytes) -> None:
        if self._stdin < 0 and self._started:
            return  # the process closed its stdin, or never had one: what is typed goes nowhere, as with a tty
        self._stdin_queue.append(data)
        self._flush_stdin()
        if self._stdin_queue:
            for each in self._clients:
                each.pause_input()

    def input_ended(self, client: Client) -> None:
        if self._close_stdin_at_eof:
            self._stdin_closing = True
            self._flush_stdin()

    def _flush_stdin(self) -> None:
        if self._stdin < 0:
            return
        while self._stdin_queue:
            data = self._stdin_queue[0]
            try:
                sent = os.write(self._stdin, data)
            except BlockingIOError:
                self._loop.watch(self._stdin, WRITE, lambda _events: self._stdin_writable())
                return
            except OSError:  # the reader is gone
                self.close_stdin()
                return
            if sent < len(data):
                self._stdin_queue[0] = data[sent:]
            else:
                del self._stdin_queue[0]
        if self._stdin_closing:
            self.close_stdin()

    def _stdin_writable(self) -> None:
        self._loop.unwatch(self._stdin)
        self._flush_stdin()
        if not self._stdin_queue:
            for client in self._clients:
                client.resume_input()

    def close_stdin(self) -> None:
        if self._stdin >= 0:
            self._loop.unwatch(self._stdin)
            os.close(self._stdin)
            self._stdin = -1
        self._stdin_queue.clear()

    def detached(self, client: Client) -> None:
        self._on_detach()

    def dropped(self, client: Client) -> None:
        if client in self._clients:
            self._clients.remove(client)
        self.drained()
        if not self._sources and self._started:
            self._on_output_end()
