"""A small HTTP server on a unix socket that stands for the engine: Python's http.server, nothing of ours."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

PIECE = 256 * 1024


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is what some tests are about."""


class FakeEngine:
    """Serves `path`; `requests` are the targets it was asked for, `connections` how many it has accepted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests: list[str] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        engine = self

        class Bound(_Handler):
            def setup(self) -> None:
                self.engine = engine
                engine.connections += 1
                super().setup()

        self._server = _Server(str(path), Bound)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> FakeEngine:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.path.unlink(missing_ok=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine: FakeEngine

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        self._remember(b"")
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        match url.path:
            case "/_ping":
                self._answer(200, b"OK", {"Api-Version": "1.47"})
            case "/two-writes":
                self.send_response(200)
                self.send_header("Content-Length", "4")
                self.end_headers()
                self.wfile.write(b"ab")
                time.sleep(0.001)
                self.wfile.write(b"cd")
            case "/source":
                size = int(query["size"][0])
                self.send_response(200)
                self.send_header("Content-Length", str(size))
                self.end_headers()
                piece = b"s" * PIECE
                while size:
                    size -= self.connection.send(piece[:size])
            case "/drip":
                self._chunked_head()
                for number in range(3):
                    self._chunk(b'{"status":"step %d"}\r\n' % number)
                    time.sleep(0.05)
                self._chunk(b'{"errorDetail":{"message":"no space left"},"error":"no space left"}\r\n')
                self._chunk(b"")
            case "/cut":
                self._chunked_head()
                self._chunk(b"some")
                self.close_connection = True
            case "/slow":
                time.sleep(float(query["seconds"][0]))
                self._answer(200, b"late")
            case "/close-after":
                self._answer(200, b"bye", {"Connection": "close"})
            case "/drop-after":
                self._answer(200, b"gone")
                self.close_connection = True
            case "/containers/json":
                self._json(200, [{"Id": "abc", "Names": ["/web"], "State": "running"}])
            case _:
                self._json(404, {"message": f"page not found: {url.path}"})

    def do_POST(self) -> None:
        if self.headers.get("Upgrade") == "tcp":
            self._hijack()
            return
        url = urlsplit(self.path)
        if url.path == "/refuse":
            self._json(400, {"message": "too much"})
            self.close_connection = True
            return
        body = self._body(report=url.path == "/images/load")
        self._remember(body)
        if url.path == "/images/load":
            self._chunk(b'{"stream":"Loaded image: x"}\r\n')
            self._chunk(b"")
        elif url.path.endswith("/start"):
            self._answer(304 if "running" in url.path else 204, b"")
        else:
            self._json(201, {"Id": "new", "Warnings": None})

    def do_DELETE(self) -> None:
        self._remember(b"")
        self._json(409, {"message": "conflict: it runs"})

    def _hijack(self) -> None:
        """attach: capitals of what comes, then "bye" after the client's half-close. exec: speaks first."""
        self._remember(b"")
        self.send_response_only(101, "UPGRADED")
        self.send_header("Content-Type", "application/vnd.docker.raw-stream")
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "tcp")
        # The first bytes in one segment with the head.
        buffered = self.connection.makefile("wb", 65536)
        with buffered:
            plain, self.wfile = self.wfile, buffered
            self.end_headers()
            buffered.write(b"hello ")
        self.wfile = plain
        while piece := self.rfile.read1(PIECE):
            self.wfile.write(piece.upper())
        self.wfile.write(b" bye")
        self.close_connection = True

    def _body(self, *, report: bool) -> bytes:
        """The request's body; with `report` it answers a lot while it reads, as an engine that loads does."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if report:
            self._chunked_head()
        body = bytearray()
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
            if report:
                self._chunk(json.dumps({"status": "x" * 50_000}).encode() + b"\r\n")
        self.rfile.readline()
        return bytes(body)

    def _remember(self, body: bytes) -> None:
        self.engine.requests.append(self.path)
        self.engine.bodies.append(body)
        self.engine.headers.append({name.lower(): value for name, value in self.headers.items()})

    def _json(self, status: int, value: object) -> None:
        self._answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _chunked_head(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
