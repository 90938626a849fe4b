"""An HTTP server on loopback whose answers are a function of the test's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler

from tests.servers.loopback import Loopback


@dataclass(frozen=True)
class Asked:
    """A request; `take` reads that much of its body (all of it by default)."""

    method: str
    path: str
    headers: Message
    take: Callable[..., bytes]


@dataclass(frozen=True)
class Said:
    """An answer; `cut` = break the connection off after so many bytes of the body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None


Script = Callable[[Asked], Said | None]
"""None = close the connection without an answer."""


class Scripted(Loopback):
    """`address` is host:port; `log` has "METHOD path" of all requests."""

    def __init__(self, script: Script) -> None:
        log: list[str] = []
        self.log = log

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_args: object) -> None:
                pass

            def serve(self) -> None:
                log.append(f"{self.command} {self.path}")
                left = int(self.headers.get("Content-Length", "0"))

                def take(amount: int = -1) -> bytes:
                    nonlocal left
                    wanted = left if amount < 0 else min(amount, left)
                    left -= wanted
                    return self.rfile.read(wanted)

                said = script(Asked(self.command, self.path, self.headers, take))
                if said is None:
                    self.close_connection = True
                    return
                take()
                self.send_response(said.status)
                headers = {"Content-Length": str(len(said.body)), **said.headers}
                for key, value in headers.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(said.body[: said.cut])
                if said.cut is not None:
                    self.close_connection = True

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = serve  # http.server's names

        super().__init__(Handler)
        self.url = f"http://{self.address}"
