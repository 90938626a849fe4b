"""An engine that answers nothing but `_ping` and keeps the body of a container creation."""

from __future__ import annotations

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any


class Recorder:
    """A context manager; `create(args)` runs the docker CLI and returns (query, body) of what it asked for."""

    def __init__(self, directory: Path, docker: Path) -> None:
        self._docker = docker
        self._path = directory / "engine.sock"
        self.requests: list[tuple[str, bytes]] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Api-Version", "1.47")
                self.send_header("OSType", "linux")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def do_HEAD(self) -> None:
                self._answer(200, b"")

            def do_GET(self) -> None:
                self._answer(200, b"{}")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                recorder.requests.append((self.path, body))
                self._answer(400, b'{"message":"recorded"}')

            def address_string(self) -> str:
                return "unix"

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingMixIn, UnixStreamServer):
            daemon_threads = False
            block_on_close = True

        self._server = Server(str(self._path), Handler)

    def __enter__(self) -> Recorder:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def create(self, args: list[str], cwd: Path, env: dict[str, str]) -> tuple[str, dict[str, Any]]:
        self.requests.clear()
        done = subprocess.run(
            [self._docker, "-H", f"unix://{self._path}", *args],
            cwd=cwd,
            env=env | {"DOCKER_CONFIG": str(cwd)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert self.requests, done.stderr
        path, body = self.requests[0]
        return path, json.loads(body)
