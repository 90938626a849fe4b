"""A client of one repository on one registry: synchronous, for workers. Source: OCI distribution-spec 1.1.

Everything is checked against its digest here, so a caller never sees bytes that the registry was not asked for.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO
from urllib.parse import urlencode, urljoin

from urllib3.exceptions import HTTPError

from hostagent.errors import EngineError, Invalid, Unavailable
from hostagent.registry import media
from hostagent.registry.manifest import MANIFEST_LIMIT, digest_of
from hostagent.registry.session import CHUNK, Session, reason_of

ATTEMPTS = 5  # without a byte of progress; docker's own number
FIRST_PAUSE = 0.2  # seconds, doubled after each failed attempt

Count = Callable[[int], None]
"""Hears how many bytes are done."""


@dataclass(frozen=True)
class FetchedManifest:
    """A manifest's exact bytes."""

    raw: bytes
    digest: str
    media_type: str


class Client(Session):
    """What can be done with the repository."""

    # Pulling

    def ping(self) -> None:
        """Whether there is a registry at all. Raises Unavailable."""
        answer = self.send("GET", f"{self.endpoint.url}/v2/")
        if answer.status not in (200, 401, 403):
            raise self.refuse(answer, "this is no registry")
        answer.drain_conn()

    def manifest(self, name: str) -> FetchedManifest:
        """The manifest of a tag or a digest, checked. Raises NotFound, Unauthorized, Unavailable, EngineError."""
        answer = self.send("GET", self.url("manifests", name), {"Accept": media.ACCEPT})
        if answer.status != 200:
            raise self.refuse(answer, f"no manifest {name} of {self.path}")
        try:
            raw = answer.read(MANIFEST_LIMIT + 1, decode_content=False)
        except HTTPError as error:
            raise Unavailable(
                f"{self.host} broke off in the middle of a manifest: {reason_of(error)}"
            ) from error
        answer.release_conn()
        if len(raw) > MANIFEST_LIMIT:
            raise Invalid(
                f"the manifest {name} of {self.path} is larger than {MANIFEST_LIMIT} bytes: refused"
            )
        digest = digest_of(raw)
        wanted = name if name.startswith("sha256:") else answer.headers.get("Docker-Content-Digest", digest)
        if wanted.startswith("sha256:") and wanted != digest:
            raise EngineError(
                f"manifest verification failed for digest {wanted}: {self.host} sent {digest} instead: "
                "the registry is damaged or lies; nothing was kept"
            )
        return FetchedManifest(raw, digest, answer.headers.get("Content-Type", "").partition(";")[0].strip())

    def blob(self, digest: str, size: int, fd: int, count: Count) -> None:
        """Write a blob to the empty file `fd`, resuming where the registry breaks off; check size and digest."""
        hasher = hashlib.sha256()
        done = failures = 0
        problem = ""
        while True:
            try:
                for piece in self._blob_pieces(digest, done, size):
                    if piece is None:  # the registry starts over
                        os.ftruncate(fd, 0)
                        os.lseek(fd, 0, os.SEEK_SET)
                        hasher, done = hashlib.sha256(), 0
                        continue
                    hasher.update(piece)
                    _write(fd, piece)
                    done += len(piece)
                    failures = 0
                    count(done)
                if done == size:
                    break
                problem = "it closed the connection"
            except (HTTPError, Unavailable) as error:
                problem = reason_of(error) if isinstance(error, HTTPError) else str(error)
            failures += 1
            if failures >= ATTEMPTS:
                raise Unavailable(
                    f"the layer {digest} is truncated: {self.host} sent {done} of {size} bytes ({problem}), "
                    f"{ATTEMPTS} times; nothing was kept: try again, or push the image anew"
                )
            time.sleep(FIRST_PAUSE * 2 ** (failures - 1))
        found = "sha256:" + hasher.hexdigest()
        if found != digest:
            raise EngineError(
                f"filesystem layer verification failed for digest {digest}: {self.host} sent {found} instead: "
                "the registry is damaged or lies; nothing was kept"
            )

    def _blob_pieces(self, digest: str, start: int, size: int) -> Iterator[bytes | None]:
        """The bytes from `start` on; None = they begin at 0 after all. Raises when there are more than `size`."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        answer = self.send("GET", self.url("blobs", digest), headers)
        try:
            if answer.status == 206:
                if not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                    raise Unavailable(f"{self.host} answered another range than it was asked for")
            elif answer.status == 200:
                if start:
                    yield None
                    start = 0
            else:
                error = self.refuse(answer, f"no layer {digest} of {self.path}")
                # Unavailable is tried again.
                raise error if answer.status >= 500 or answer.status == 429 else _final(error)
            while piece := answer.read(CHUNK, decode_content=False):
                start += len(piece)
                if start > size:
                    raise EngineError(
                        f"filesystem layer verification failed for digest {digest}: {self.host} sends more than "
                        f"the {size} bytes that the manifest says; nothing was kept"
                    )
                yield piece
        finally:
            # Half-read answers cannot go back to the pool.
            answer.close()

    # Pushing

    def has_blob(self, digest: str) -> bool:
        answer = self.send("HEAD", self.url("blobs", digest))
        answer.drain_conn()
        if answer.status in (200, 404):
            return answer.status == 200
        raise self.refuse(answer, f"cannot look for the layer {digest} in {self.path}")

    def mount(self, digest: str, source: str) -> bool:
        """Let the registry take the blob from another of its repositories; False when it does not."""
        self.extra_scopes = (f"repository:{source}:pull",)
        query = urlencode({"mount": digest, "from": source})
        answer = self.send("POST", f"{self.url('blobs', 'uploads/')}?{query}", {"Content-Length": "0"})
        answer.drain_conn()
        self.extra_scopes = ()
        return answer.status == 201

    def push_blob(self, digest: str, size: int, path: str, count: Count) -> None:
        """Upload a file in one request; begun anew when the connection breaks."""
        failures = 0
        while True:
            try:
                self._upload(digest, size, path, count)
                return
            except Unavailable:
                failures += 1
                if failures >= ATTEMPTS:
                    raise
                time.sleep(FIRST_PAUSE * 2 ** (failures - 1))

    def _upload(self, digest: str, size: int, path: str, count: Count) -> None:
        begun = self.send("POST", self.url("blobs", "uploads/"), {"Content-Length": "0"})
        if begun.status != 202:
            raise _final(self.refuse(begun, f"cannot push to {self.path}"))
        begun.drain_conn()
        location = urljoin(self.endpoint.url + "/", begun.headers.get("Location", ""))
        target = f"{location}{'&' if '?' in location else '?'}{urlencode({'digest': digest})}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        with open(path, "rb", buffering=0) as file:

            def body() -> IO[bytes]:
                file.seek(0)
                return _Counted(file, count)  # type: ignore[return-value]  # urllib3 needs read() only

            answer = self.send("PUT", target, headers, body)
        if answer.status != 201:
            raise _final(self.refuse(answer, f"cannot push the layer {digest} to {self.path}"))
        answer.drain_conn()

    def push_manifest(self, name: str, raw: bytes, media_type: str) -> None:
        """Put a manifest under a tag or digest."""
        headers = {"Content-Type": media_type, "Content-Length": str(len(raw))}
        answer = self.send("PUT", self.url("manifests", name), headers, lambda: raw)
        if answer.status != 201:
            raise self.refuse(answer, f"cannot push the manifest {name} to {self.path}")
        answer.drain_conn()


class _Counted:
    """A file whose readers are told about."""

    def __init__(self, file: IO[bytes], count: Count) -> None:
        self._file = file
        self._count = count
        self._done = 0

    def read(self, amount: int = -1) -> bytes:
        data = self._file.read(amount)
        self._done += len(data)
        self._count(self._done)
        return data


def _final(error: EngineError) -> EngineError:
    """An answer that trying again will not change must not look like a broken connection."""
    return EngineError(str(error)) if isinstance(error, Unavailable) else error


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
