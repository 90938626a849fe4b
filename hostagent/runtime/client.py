"""A client that is attached to a process in a container: what waits for it, what it types, when it is gone."""

from __future__ import annotations

import os
import select
import socket
import struct
from typing import Protocol

from hostagent.runtime.loop import READ, WRITE, Loop

CHUNK = 64 * 1024
STREAM_IDS = {"stdout": 1, "stderr": 2}


class Owner(Protocol):
    """What a client needs of its session."""

    def input(self, client: Client, data: bytes) -> None: ...
    def input_ended(self, client: Client) -> None: ...
    def drained(self) -> None: ...
    def detached(self, client: Client) -> None: ...
    def dropped(self, client: Client) -> None: ...


class Client:
    """One attached connection (a unix or TCP socket, non-blocking), with what waits to be written to it."""

    def __init__(
        self,
        loop: Loop,
        owner: Owner,
        fd: int,
        streams: frozenset[str],
        multiplexed: bool,
        reads_input: bool,
        detach_keys: bytes,
    ) -> None:
        self._loop = loop
        self._owner = owner
        self.fd = fd
        self.streams = streams
        self._multiplexed = multiplexed
        self._reading = reads_input
        self._input_over = not reads_input
        self._keys = detach_keys
        self._typed = b""
        self._queue: list[bytes] = []
        self.waiting = 0
        self._ending = False
        self._open = True
        os.set_blocking(fd, False)
        self._update()

    # -- towards the client

    def send(self, stream: str, data: bytes) -> None:
        if stream not in self.streams:
            return
        if self._multiplexed:
            data = struct.pack(">BxxxI", STREAM_IDS[stream], len(data)) + data
        self.send_raw(data)

    def send_raw(self, data: bytes) -> None:
        """Bytes as they are: at once as far as the socket takes them, the rest when it is writable."""
        if not self._open or self._ending:
            return
        if not self._queue:
            try:
                sent = os.write(self.fd, data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.drop()
                return
            data = data[sent:]
        if data:
            self._queue.append(data)
            self.waiting += len(data)
            self._update()

    def finish(self) -> None:
        """Close once everything queued is written."""
        self._ending = True
        if not self._queue:
            self.drop()

    def drop(self) -> None:
        """Close now; what waits is lost (the client is gone)."""
        if self._open:
            self._open = False
            self._loop.unwatch(self.fd)
            _hang_up(self.fd)
            self._queue.clear()
            self.waiting = 0
            self._owner.dropped(self)

    # -- from the client

    def pause_input(self) -> None:
        if self._open:
            self._reading = False
            self._update()

    def resume_input(self) -> None:
        if self._open and not self._input_over:
            self._reading = True
            self._update()

    def feed(self, data: bytes) -> None:
        """Bytes that the client sent, perhaps with the detach keys among them."""
        if not self._keys:
            self._owner.input(self, data)
            return
        passed = bytearray()
        for byte in data:
            typed = self._typed + bytes((byte,))
            if typed == self._keys:
                self._owner.input(self, bytes(passed))
                self._owner.detached(self)
                self.drop()
                return
            if self._keys.startswith(typed):
                self._typed = typed
            else:
                # Not the sequence after all: what was held back belongs to the process.
                passed += self._typed
                self._typed = b""
                if self._keys.startswith(bytes((byte,))):
                    self._typed = bytes((byte,))
                else:
                    passed.append(byte)
        if passed:
            self._owner.input(self, bytes(passed))

    def _update(self) -> None:
        events = (READ if self._reading else 0) | (WRITE if self._queue else 0)
        self._loop.watch(self.fd, events, self._ready)  # HUP and ERR are always reported

    def _ready(self, events: int) -> None:
        if events & WRITE and self._queue:
            self._flush()
        if self._open and events & (READ | select.EPOLLHUP | select.EPOLLERR):
            if self._reading:
                self._read()
            elif events & (select.EPOLLHUP | select.EPOLLERR):
                self.drop()

    def _read(self) -> None:
        try:
            data = os.read(self.fd, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._owner.input_ended(self)
            self.drop()
            return
        if data:
            self.feed(data)
            return
        # End of what the client sends, not of what it wants to hear: `echo hi | docker run -i x cat`.
        self._reading = False
        self._input_over = True
        self._update()
        self._owner.input_ended(self)

    def _flush(self) -> None:
        while self._queue:
            data = self._queue[0]
            try:
                sent = os.write(self.fd, data)
            except BlockingIOError:
                return
            except OSError:
                self.drop()
                return
            self.waiting -= sent
            if sent < len(data):
                self._queue[0] = data[sent:]
                return
            del self._queue[0]
        if self._ending:
            self.drop()
            return
        self._update()
        self._owner.drained()


def _hang_up(fd: int) -> None:
    """Close a connection so that a peer that is still writing reads its end, not a reset.

    A unix socket that is closed with unread data resets its peer, which then loses what it has not read yet; so
    nothing more is let in, and what came is thrown away.
    """
    try:
        with socket.socket(fileno=fd) as peer:
            peer.shutdown(socket.SHUT_RDWR)
            while peer.recv(CHUNK):
                pass
    except OSError:
        pass  # EAGAIN: it is empty; ENOTCONN: the peer has gone
