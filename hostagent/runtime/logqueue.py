"""mode=non-blocking: a log that never makes the container wait, at the price of lines when it cannot follow.

A writer process of its own waits for the disk or the journal; the shim hands it entries through a socket without ever
waiting, and keeps up to a limit of them. What does not fit is lost, as in Docker's ring buffer.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import traceback
from collections.abc import Callable

from hostagent.kernel import fds
from hostagent.runtime.logfile import Sink
from hostagent.runtime.loglines import STREAM_IDS
from hostagent.runtime.loop import WRITE, Loop

_HEAD = struct.Struct("=BBQI")
"""Stream, whether these are whole lines, time, number of bytes that follow: entries with newlines between them."""
_STREAMS = {number: name for name, number in STREAM_IDS.items()}
CLOSE_SECONDS = 10.0


class QueueSink:
    """The shim's end."""

    def __init__(self, loop: Loop, limit: int, make: Callable[[], Sink]) -> None:
        """`make` is called in the writer process; at most `limit` bytes wait here."""
        self._loop = loop
        self._limit = limit
        self._queue: list[bytes] = []
        self._waiting = 0
        self.lost = 0
        self._socket, theirs = socket.socketpair()
        self._writer = os.fork()
        if self._writer == 0:
            _serve(theirs, make)
        theirs.close()
        self._socket.setblocking(False)

    def put(self, stream: str, entries: list[bytes], whole: bool, time_ns: int) -> None:
        """Whole lines travel together, pieces of long ones one by one."""
        number = STREAM_IDS[stream]
        for block in (b"\n".join(entries),) if whole else entries:
            self._send(_HEAD.pack(number, whole, time_ns, len(block)) + block)

    def _send(self, data: bytes) -> None:
        if not self._queue:
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                pass
            except OSError:  # the writer was killed
                self.lost += len(data)
                return
            if not data:
                return
        elif self._waiting + len(data) > self._limit:
            self.lost += len(data)
            return
        self._queue.append(data)
        self._waiting += len(data)
        self._loop.watch(self._socket.fileno(), WRITE, lambda _events: self._flush())

    def _flush(self) -> None:
        while self._queue:
            data = self._queue[0]
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                return
            except OSError:
                self.lost += self._waiting
                self._queue.clear()
                break
            self._waiting -= sent
            if sent < len(data):
                self._queue[0] = data[sent:]
                return
            del self._queue[0]
        self._loop.unwatch(self._socket.fileno())

    def close(self) -> None:
        """The writer gets what waits, and a little time."""
        self._loop.unwatch(self._socket.fileno())
        self._socket.settimeout(CLOSE_SECONDS)
        try:
            for data in self._queue:
                self._socket.sendall(data)
        except OSError:
            pass  # it was killed, or what it writes to does not move: lost
        self._socket.close()
        os.waitpid(self._writer, 0)


def _serve(source: socket.socket, make: Callable[[], Sink]) -> None:
    """The writer process, until the shim closes its end."""
    code = 1
    try:
        fds.close_all_except((0, 1, 2, source.fileno()))
        sink = make()
        while len(head := source.recv(_HEAD.size, socket.MSG_WAITALL)) == _HEAD.size:
            number, whole, time_ns, size = _HEAD.unpack(head)
            block = source.recv(size, socket.MSG_WAITALL) if size else b""
            sink.put(_STREAMS[number], block.split(b"\n") if whole else [block], bool(whole), time_ns)
        sink.close()
        code = 0
    except BaseException:  # the process ends here: the last words go to the shim's own log
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(code)
