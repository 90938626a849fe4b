"""A registry that misbehaves on purpose; the honest one in the tests is Debian's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from hostagent.registry import media
from tests.root.image.samples import digest
from tests.servers.loopback import Loopback


@dataclass
class Image:
    """What is served under the tag `1`: the parts may contradict each other."""

    config: bytes
    layers: list[bytes]
    manifest: bytes = b""
    blobs: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = [self.config, *self.layers]
        self.blobs = {digest(part): part for part in parts} | self.blobs
        self.manifest = (
            self.manifest
            or json.dumps(
                {
                    "schemaVersion": 2,
                    "mediaType": media.OCI_MANIFEST,
                    "config": {
                        "mediaType": media.OCI_CONFIG,
                        "digest": digest(self.config),
                        "size": len(self.config),
                    },
                    "layers": [
                        {"mediaType": media.OCI_LAYER, "digest": digest(layer), "size": len(layer)}
                        for layer in self.layers
                    ],
                }
            ).encode()
        )


def config_of(layers: list[bytes], **more: object) -> bytes:
    """A configuration that fits uncompressed layers."""
    return json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
            **more,
        }
    ).encode()


Serve = Callable[[BaseHTTPRequestHandler, str, bytes], bool]
"""(request, blob's digest, its bytes) -> True when it has answered in its own way."""


class LyingRegistry(Loopback):
    """`address` is host:port; `requests` are (method, path, Range, Authorization) as they came."""

    def __init__(self, image: Image, serve: Serve | None = None, realm: str = "") -> None:
        registry = self
        self.image = image
        self.requests: list[tuple[str, str, str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_args: object) -> None:
                pass

            def do_GET(self) -> None:
                kept = self.headers.get("Authorization", "")
                registry.requests.append((self.command, self.path, self.headers.get("Range", ""), kept))
                if realm and self.path.startswith("/token"):
                    self.answer(200, b'{"token":"secret"}')
                elif realm and kept != "Bearer secret":
                    challenge = f'Bearer realm="http://{registry.address}/token",service="s",scope="{realm}"'
                    self.answer(401, b"", {"WWW-Authenticate": challenge})
                elif "/manifests/" in self.path:
                    self.answer(200, image.manifest, {"Content-Type": media.OCI_MANIFEST})
                elif "/blobs/" in self.path:
                    name = self.path.rpartition("/")[2]
                    data = image.blobs.get(name)
                    if data is None:
                        self.answer(404, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}')
                    elif serve is None or not serve(self, name, data):
                        self.answer(200, data)
                else:
                    self.answer(200, b"{}")

            def answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for key, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(data)

        super().__init__(Handler)


def part(handler: BaseHTTPRequestHandler, data: bytes, start: int, stop: int) -> None:
    """Answer a range, or promise all from `start` and break off at `stop`."""
    handler.send_response(206 if start else 200)
    handler.send_header("Content-Length", str(len(data) - start))
    if start:
        handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
    handler.end_headers()
    handler.wfile.write(data[start:stop])
    handler.close_connection = True
