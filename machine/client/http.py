"""HTTP/1.1 over a unix socket: requests, streams both ways, and connections that become raw byte streams.

Synchronous, on h11. Connections are kept and used again, since through the keeper each costs a round trip.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

import h11

from machine.client.stream import Stream
from machine.errors import Unavailable

_PIECE: Final = 256 * 1024
# Seconds for an answer to begin, or to go on, where the caller names no other limit.
DEFAULT_TIMEOUT: Final = 300.0

Body = bytes | Iterable[bytes] | None


class _Dropped(Exception):
    """The peer closed the connection before the first byte of an answer."""


class Http:
    """Requests to one unix socket, also from several threads: each request has a connection of its own."""

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        self._idle: list[_Connection] = []
        self._lock = threading.Lock()

    def request(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> Response:
        """Sends a request and reads the head of its answer, whatever its status.

        `timeout` (seconds) limits each wait for the peer, None: no limit (streams that may be silent). A body
        in pieces is sent chunked. Raises Unavailable: nobody listens, silence, or the connection broke.
        """
        connection = self._take(timeout)
        try:
            try:
                return self._ask(connection, method, target, headers=headers, body=body, timeout=timeout)
            except _Dropped:
                connection.close()
                # The peer may close an idle connection, and the keeper one whose SSH connection broke. Only what
                # changes nothing is sent again, because the engine may have acted on it before that.
                if method not in ("GET", "HEAD"):
                    raise
            connection = _Connection(self.path, timeout)
            return self._ask(connection, method, target, headers=headers, body=body, timeout=timeout)
        except _Dropped:
            connection.close()
            raise Unavailable(
                f"the engine closed the connection without an answer to {method} {target.partition('?')[0]}"
            ) from None
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Closes the idle connections; those in use are closed by their answers."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _ask(
        self,
        connection: _Connection,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None,
        body: Body,
        timeout: float | None,
    ) -> Response:
        connection.limit(timeout)
        connection.send(method, target, headers or {}, body)
        status, answer_headers = connection.read_head()
        return Response(self, connection, status, answer_headers)

    def _take(self, timeout: float | None) -> _Connection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return _Connection(self.path, timeout)
            if not connection.stale():
                return connection
            connection.close()

    def _give_back(self, connection: _Connection) -> None:
        if connection.renew():
            with self._lock:
                self._idle.append(connection)
        else:
            connection.close()


class Response:
    """The answer to one request: its head is here, its body is still to be read (or hijacked). Closable."""

    def __init__(self, owner: Http, connection: _Connection, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers  # names in lower case
        self._owner = owner
        self._connection: _Connection | None = connection

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes. Raises Unavailable when it is cut off."""
        while self._connection is not None:
            try:
                data = self._connection.read_body()
            except BaseException:
                self.close()
                raise
            if data is None:
                connection, self._connection = self._connection, None
                self._owner._give_back(connection)
                return
            yield data

    def read(self) -> bytes:
        """The whole body."""
        return b"".join(self.pieces())

    def lines(self) -> Iterator[bytes]:
        """The body in lines without their ends, empty ones left out (streams of JSON objects)."""
        rest = b""
        for piece in self.pieces():
            *whole, rest = (rest + piece).split(b"\n")
            yield from (line for line in whole if line.strip())
        if rest.strip():
            yield rest

    def hijack(self, *, multiplexed: bool) -> Stream:
        """The connection itself, as raw bytes from here on; the answer is used up by that."""
        assert self._connection is not None, "the answer was read or closed before"
        connection, self._connection = self._connection, None
        sock, early = connection.detach()
        return Stream(sock, early, multiplexed=multiplexed)

    def fileno(self) -> int:
        """For select: readable when more of the body, or its end, has come."""
        assert self._connection is not None, "the answer was read or closed before"
        return self._connection.fileno()

    def close(self) -> None:
        """Gives up what is left of the body, and the connection with it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __enter__(self) -> Response:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Connection:
    """One socket with its h11 state machine."""

    def __init__(self, path: str, timeout: float | None) -> None:
        self._h11 = h11.Connection(our_role=h11.CLIENT, max_incomplete_event_size=1024 * 1024)
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._sock.settimeout(timeout)
        try:
            self._sock.connect(path)
        except OSError as error:
            self._sock.close()
            raise Unavailable(f"nothing answers at {path} ({error.strerror or error})") from error

    def limit(self, timeout: float | None) -> None:
        self._sock.settimeout(timeout)

    def send(self, method: str, target: str, headers: Mapping[str, str], body: Body) -> None:
        """A peer that stops reading has usually answered already: that answer is the better error."""
        fields = {"Host": "docker", "User-Agent": "pymachine", **headers}
        if isinstance(body, bytes):
            fields["Content-Length"] = str(len(body))
        elif body is not None:
            fields["Transfer-Encoding"] = "chunked"
        elif method not in ("GET", "HEAD", "DELETE"):
            fields["Content-Length"] = "0"
        head = self._h11.send(h11.Request(method=method, target=target, headers=list(fields.items()))) or b""
        try:
            if isinstance(body, bytes):
                data = (self._h11.send(h11.Data(data=body)) or b"") if body else b""
                end = self._h11.send(h11.EndOfMessage()) or b""
                self._write(head + data + end)
                return
            self._write(head)
            for piece in body or ():
                if piece:
                    self._write(self._h11.send(h11.Data(data=piece)) or b"")
            self._write(self._h11.send(h11.EndOfMessage()) or b"")
        except (BrokenPipeError, ConnectionResetError):
            return

    def read_head(self) -> tuple[int, dict[str, str]]:
        while True:
            event = self._next(_Dropped)
            if isinstance(event, h11.Response) or (
                isinstance(event, h11.InformationalResponse) and event.status_code == 101
            ):
                headers = {name.decode().lower(): value.decode("latin-1") for name, value in event.headers}
                return event.status_code, headers
            if isinstance(event, h11.ConnectionClosed):
                raise _Dropped

    def read_body(self) -> bytes | None:
        """The next piece; None at the end."""
        while True:
            event = self._next(None)
            if isinstance(event, h11.Data):
                return bytes(event.data)
            if isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                return None

    def renew(self) -> bool:
        """Ready for the next request; False: this connection has to be closed."""
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return True

    def stale(self) -> bool:
        """Whether the peer has closed it (or said something unasked) while it was idle."""
        readable, _, _ = select.select([self._sock], [], [], 0)
        return bool(readable)

    def detach(self) -> tuple[socket.socket, bytes]:
        early, _ = self._h11.trailing_data
        self._sock.settimeout(None)
        return self._sock, early

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()

    def _next(self, dropped: type[Exception] | None) -> object:
        """The next event of the answer; `dropped` is raised for an end before the first byte of one."""
        while True:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                if dropped is not None and not self._h11.trailing_data[0]:
                    raise dropped from None
                raise Unavailable(f"the engine's answer broke off ({error})") from None
            if event is not h11.NEED_DATA:
                return event
            self._h11.receive_data(self._read())

    def _read(self) -> bytes:
        try:
            return self._sock.recv(_PIECE)
        except TimeoutError:
            raise Unavailable(f"the engine did not answer within {self._sock.gettimeout():g} s") from None
        except ConnectionResetError:
            return b""

    def _write(self, data: bytes) -> None:
        """Sends all of it, and takes in what the peer says meanwhile.

        An engine that reports progress while it reads would stop reading if nobody took the reports.
        """
        timeout = self._sock.gettimeout()
        waiter = select.poll()
        waiter.register(self._sock, select.POLLIN | select.POLLOUT)
        rest = memoryview(data)
        ended = False
        while rest:
            events = dict(waiter.poll(None if timeout is None else timeout * 1000)).get(
                self._sock.fileno(), 0
            )
            if not events:
                raise Unavailable(f"the engine took nothing for {timeout:g} s")
            if events & select.POLLIN and not ended:
                got = self._read()
                self._h11.receive_data(got)
                if not got:
                    ended = True
                    waiter.modify(self._sock, select.POLLOUT)
            if events & (select.POLLOUT | select.POLLERR | select.POLLHUP):
                try:
                    rest = rest[self._sock.send(rest[:_PIECE], socket.MSG_DONTWAIT) :]
                except BlockingIOError:
                    continue
