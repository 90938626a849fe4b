"""A proxy before a Docker socket that checks the answers passing through against the tables; bytes go on as they are.

`python -m tests.shapes.proxy ENGINE.sock OWN.sock FILE`: violations are appended to FILE. Before dockerd it proves
the tables.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import h11

from tests.shapes.tables import violations

PIECE = 1 << 16


class Conversation:
    """One connection's requests and answers, read along; blind once it has become a raw stream."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._asked = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        self._answered = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        self._request: h11.Request | None = None
        self._response: h11.Response | None = None
        self._body = b""
        self._blind = False

    def from_client(self, data: bytes) -> None:
        """Bytes on their way to the engine."""
        self._read(self._asked, data)

    def from_engine(self, data: bytes) -> None:
        """Bytes on their way to the client."""
        self._read(self._answered, data)

    def _read(self, parser: h11.Connection, data: bytes) -> None:
        if self._blind:
            return
        try:
            parser.receive_data(data)
            while not self._blind:
                event = parser.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return
                if isinstance(event, h11.ConnectionClosed):
                    self._finish()
                    self._blind = True
                else:
                    self._take(event)
        except h11.RemoteProtocolError:
            self._blind = True

    def _take(self, event: object) -> None:
        if isinstance(event, h11.Request):
            self._request = event
            headers = [(name, value) for name, value in event.headers if name != b"expect"]
            self._answered.send(h11.Request(method=event.method, target=event.target, headers=headers))
        elif isinstance(event, h11.Response):
            self._response, self._body = event, b""
            kind = dict(event.headers).get(b"content-type", b"")
            self._blind = kind.startswith(b"application/vnd.docker")
        elif isinstance(event, h11.InformationalResponse):
            self._blind = event.status_code == 101
        elif isinstance(event, h11.Data):
            if self._response is not None:
                self._body += bytes(event.data)
            else:
                self._answered.send(event)
        elif isinstance(event, h11.EndOfMessage):
            if self._response is None:
                self._answered.send(h11.EndOfMessage())
            else:
                self._finish()
                self._next()

    def _finish(self) -> None:
        """An answer is whole, or as much of an endless one as there will be."""
        if self._request is None or self._response is None:
            return
        kind = dict(self._response.headers).get(b"content-type", b"")
        method, target = self._request.method.decode(), self._request.target.decode()
        if kind.startswith(b"application/json"):
            try:
                found = violations(method, target, self._response.status_code, self._body)
            except ValueError:
                found = []  # the last line of a stream that was cut
            with self._file.open("a") as file:
                file.writelines(f"{line}\n" for line in found)

    def _next(self) -> None:
        self._request = self._response = None
        for parser in (self._asked, self._answered):
            if parser is self._asked:
                parser.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                parser.send(h11.EndOfMessage())
            if parser.our_state is not h11.DONE or parser.their_state is not h11.DONE:
                self._blind = True
                return
            parser.start_next_cycle()


async def serve(engine: str, own: str, file: Path) -> None:
    """For ever."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = Conversation(file)
        up_reader, up_writer = await asyncio.open_unix_connection(engine)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, inward: bool) -> None:
            try:
                while data := await source.read(PIECE):
                    (conversation.from_client if inward else conversation.from_engine)(data)
                    sink.write(data)
                    await sink.drain()
                if sink.can_write_eof():
                    sink.write_eof()
            except (ConnectionError, BrokenPipeError):
                sink.close()

        await asyncio.gather(pump(reader, up_writer, True), pump(up_reader, writer, False))
        for each in (writer, up_writer):
            each.close()

    server = await asyncio.start_unix_server(talk, own)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
