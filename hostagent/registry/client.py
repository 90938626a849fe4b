"""A client of one repository on one registry: synchronous, for workers. Source: OCI distribution-spec 1.1.

Everything is checked against its digest here, so a caller never sees bytes that the registry was not asked for.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO
from urllib.parse import urlencode, urljoin

import msgspec
import urllib3
from urllib3.exceptions import HTTPError, InsecureRequestWarning, SSLError

from hostagent.errors import Denied, EngineError, Invalid, NotFound, Unauthorized, Unavailable
from hostagent.model.reference import Reference
from hostagent.registry import media
from hostagent.registry.auth import Challenge, Credentials, TokenAnswer, parse_challenge
from hostagent.registry.config import Endpoint
from hostagent.registry.manifest import MANIFEST_LIMIT, digest_of

CHUNK = 1 << 20  # bytes per read and write
ATTEMPTS = 5  # without a byte of progress; docker's own number
FIRST_PAUSE = 0.2  # seconds, doubled after each failed attempt
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0

Count = Callable[[int], None]
"""Hears how many bytes are done."""


class _Fault(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Faults(msgspec.Struct):
    errors: list[_Fault] = []


@dataclass(frozen=True)
class FetchedManifest:
    """A manifest's exact bytes."""

    raw: bytes
    digest: str
    media_type: str


class Client:
    """`path` is the repository's (`library/busybox`); `actions` what tokens are asked for (`pull`, `pull,push`)."""

    def __init__(
        self,
        endpoint: Endpoint,
        path: str,
        credentials: Credentials | None,
        actions: str = "pull",
        authorization: str | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.authorization = authorization
        self._path = path
        self._credentials = credentials
        self._scope = f"repository:{path}:{actions}"
        self._extra_scopes: tuple[str, ...] = ()
        if not endpoint.verify:
            urllib3.disable_warnings(InsecureRequestWarning)
        self._http = urllib3.PoolManager(
            retries=urllib3.Retry(total=None, connect=0, read=0, redirect=5, status=0, other=0),
            timeout=urllib3.Timeout(CONNECT_SECONDS, READ_SECONDS),
            cert_reqs="CERT_REQUIRED" if endpoint.verify else "CERT_NONE",
            blocksize=CHUNK,
        )

    @property
    def host(self) -> str:
        return self.endpoint.url.partition("://")[2]

    # Requests

    def _url(self, kind: str, name: str) -> str:
        return f"{self.endpoint.url}/v2/{self._path}/{kind}/{name}"

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], bytes | IO[bytes]] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """One request, authorised again when the registry asks for it. The caller reads and releases the answer.

        Raises Unavailable when there is no answer.
        """
        for last in (False, True):
            sent = {"User-Agent": "hostagent", "Accept-Encoding": "identity", **(headers or {})}
            # A redirected upload or another host's URL must not get the registry's token.
            if self.authorization and url.startswith(self.endpoint.url + "/"):
                sent["Authorization"] = self.authorization
            try:
                answer = self._http.request(
                    method, url, headers=sent, body=body() if body else None, preload_content=False
                )
            except SSLError as error:
                raise Unavailable(
                    f"the registry {self.host} has no certificate that this host trusts: {_reason(error)}: "
                    "if it is yours, name it in insecure-registries"
                ) from error
            except HTTPError as error:
                raise Unavailable(
                    f"the registry {self.host} cannot be reached: {_reason(error)}: "
                    "is it running, and can this host reach it?"
                ) from error
            if answer.status != 401 or last:
                return answer
            challenge = parse_challenge(answer.headers.get("WWW-Authenticate", ""))
            answer.drain_conn()
            self._authorise(challenge)
        raise AssertionError("unreachable")

    def _authorise(self, challenge: Challenge) -> None:
        known = self._credentials or Credentials()
        if challenge.scheme == "basic":
            basic = known.basic()
            if basic is None or self.authorization == basic:
                raise Unauthorized(
                    f"the registry {self.host} wants a login: pass credentials for it (docker login)"
                )
            self.authorization = basic
        elif challenge.scheme == "bearer":
            self.authorization = "Bearer " + (known.registry_token or self._token(challenge, known))
        else:
            raise Unavailable(
                f"the registry {self.host} wants an unknown way to log in: {challenge.scheme or 'none named'}"
            )

    def _token(self, challenge: Challenge, known: Credentials) -> str:
        realm = challenge.parameters.get("realm", "")
        if not realm.startswith(("https://", "http://")):
            raise Unavailable(f"the registry {self.host} names no token server: {realm!r}")
        service = challenge.parameters.get("service", "")
        scopes = [challenge.parameters.get("scope") or self._scope, *self._extra_scopes]
        headers = {"User-Agent": "hostagent"}
        try:
            if known.identity_token:
                fields = {
                    "grant_type": "refresh_token",
                    "refresh_token": known.identity_token,
                    "service": service,
                    "scope": " ".join(scopes),
                    "client_id": "hostagent",
                }
                headers["Content-Type"] = "application/x-www-form-urlencoded"
                answer = self._http.request("POST", realm, headers=headers, body=urlencode(fields))
            else:
                basic = known.basic()
                if basic is not None:
                    headers["Authorization"] = basic
                query = urlencode([("service", service), *(("scope", scope) for scope in scopes)])
                answer = self._http.request(
                    "GET", f"{realm}{'&' if '?' in realm else '?'}{query}", headers=headers
                )
        except HTTPError as error:
            raise Unavailable(
                f"the token server {realm} of {self.host} cannot be reached: {_reason(error)}"
            ) from error
        if answer.status in (401, 403):
            raise Unauthorized(f"{self.host} refused the login: incorrect username or password, or no access")
        if answer.status != 200:
            raise Unavailable(f"the token server {realm} of {self.host} answered {answer.status}")
        try:
            token = msgspec.json.decode(answer.data, type=TokenAnswer).bearer()
        except msgspec.DecodeError as error:
            raise Unavailable(
                f"the token server {realm} of {self.host} answered no token: {error}"
            ) from error
        if not token:
            raise Unavailable(f"the token server {realm} of {self.host} answered no token")
        return token

    def _refuse(self, answer: urllib3.BaseHTTPResponse, what: str) -> EngineError:
        """The error for an answer that is not the wanted one; reads it."""
        data = answer.read(65536, decode_content=False)
        answer.close()
        try:
            faults = msgspec.json.decode(data, type=_Faults).errors
            said = ", ".join(f"{fault.code.lower().replace('_', ' ')}: {fault.message}" for fault in faults)
        except (msgspec.DecodeError, UnicodeDecodeError):
            said = ""
        text = f"{what}: {self.host} answered {answer.status}{': ' + said if said else ''}"
        if answer.status == 401:
            return Unauthorized(text)
        if answer.status == 403:
            return Denied(text)
        if answer.status == 404:
            return NotFound(text)
        return Unavailable(text)

    # Pulling

    def ping(self) -> None:
        """Whether there is a registry at all. Raises Unavailable."""
        answer = self._send("GET", f"{self.endpoint.url}/v2/")
        if answer.status not in (200, 401, 403):
            raise self._refuse(answer, "this is no registry")
        answer.drain_conn()

    def manifest(self, name: str) -> FetchedManifest:
        """The manifest of a tag or a digest, checked. Raises NotFound, Unauthorized, Unavailable, EngineError."""
        answer = self._send("GET", self._url("manifests", name), {"Accept": media.ACCEPT})
        if answer.status != 200:
            raise self._refuse(answer, f"no manifest {name} of {self._path}")
        try:
            raw = answer.read(MANIFEST_LIMIT + 1, decode_content=False)
        except HTTPError as error:
            raise Unavailable(
                f"{self.host} broke off in the middle of a manifest: {_reason(error)}"
            ) from error
        answer.release_conn()
        if len(raw) > MANIFEST_LIMIT:
            raise Invalid(
                f"the manifest {name} of {self._path} is larger than {MANIFEST_LIMIT} bytes: refused"
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
                problem = _reason(error) if isinstance(error, HTTPError) else str(error)
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
        answer = self._send("GET", self._url("blobs", digest), headers)
        try:
            if answer.status == 206:
                if not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                    raise Unavailable(f"{self.host} answered another range than it was asked for")
            elif answer.status == 200:
                if start:
                    yield None
                    start = 0
            else:
                error = self._refuse(answer, f"no layer {digest} of {self._path}")
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
        answer = self._send("HEAD", self._url("blobs", digest))
        answer.drain_conn()
        if answer.status in (200, 404):
            return answer.status == 200
        raise self._refuse(answer, f"cannot look for the layer {digest} in {self._path}")

    def mount(self, digest: str, source: str) -> bool:
        """Let the registry take the blob from another of its repositories; False when it does not."""
        self._extra_scopes = (f"repository:{source}:pull",)
        query = urlencode({"mount": digest, "from": source})
        answer = self._send("POST", f"{self._url('blobs', 'uploads/')}?{query}", {"Content-Length": "0"})
        answer.drain_conn()
        self._extra_scopes = ()
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
        begun = self._send("POST", self._url("blobs", "uploads/"), {"Content-Length": "0"})
        if begun.status != 202:
            raise _final(self._refuse(begun, f"cannot push to {self._path}"))
        begun.drain_conn()
        location = urljoin(self.endpoint.url + "/", begun.headers.get("Location", ""))
        target = f"{location}{'&' if '?' in location else '?'}{urlencode({'digest': digest})}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        with open(path, "rb", buffering=0) as file:

            def body() -> IO[bytes]:
                file.seek(0)
                return _Counted(file, count)  # type: ignore[return-value]  # urllib3 needs read() only

            answer = self._send("PUT", target, headers, body)
        if answer.status != 201:
            raise _final(self._refuse(answer, f"cannot push the layer {digest} to {self._path}"))
        answer.drain_conn()

    def push_manifest(self, name: str, raw: bytes, media_type: str) -> None:
        """Put a manifest under a tag or digest."""
        headers = {"Content-Type": media_type, "Content-Length": str(len(raw))}
        answer = self._send("PUT", self._url("manifests", name), headers, lambda: raw)
        if answer.status != 201:
            raise self._refuse(answer, f"cannot push the manifest {name} to {self._path}")
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


def _reason(error: BaseException) -> str:
    """The innermost cause in words: urllib3 wraps the system's error several times."""
    reason: BaseException = error
    while True:
        inner = getattr(reason, "reason", None) or reason.__cause__ or reason.__context__
        if not isinstance(inner, BaseException) or inner is reason:
            break
        reason = inner
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.lower() if reason.errno else reason.strerror
    return str(reason) or type(reason).__name__


def open_repository(
    endpoints: tuple[Endpoint, ...], reference: Reference, credentials: Credentials | None
) -> tuple[Client, FetchedManifest]:
    """The first endpoint that has the reference, and its manifest there.

    A mirror that lacks it or is down is passed over; so is https where plain http is allowed too.
    """
    name = reference.digest or reference.tag or "latest"
    problems: list[EngineError] = []
    for endpoint in endpoints:
        last = endpoint is endpoints[-1]
        # Credentials are for the registry that the name says, not for a mirror.
        client = Client(endpoint, reference.path, None if endpoint.mirror else credentials)
        try:
            return client, client.manifest(name)
        except EngineError as error:
            problems.append(error)
            passable = isinstance(error, Unavailable) or endpoint.mirror
            if not passable or last:
                raise _explained(problems[-1], reference) from error
    raise AssertionError("there is always an endpoint")


def _explained(error: EngineError, reference: Reference) -> EngineError:
    """The error of a pull in the words that clients know."""
    if isinstance(error, NotFound):
        return NotFound(f"manifest for {reference.familiar} not found: manifest unknown: {error}")
    if isinstance(error, Unauthorized | Denied):
        return NotFound(
            f"pull access denied for {reference.familiar_repository}, repository does not exist "
            f"or may require 'docker login': {error}"
        )
    return error


def open_for_push(endpoints: tuple[Endpoint, ...], path: str, credentials: Credentials | None) -> Client:
    """The first endpoint that answers."""
    for endpoint in endpoints:
        client = Client(endpoint, path, credentials, "pull,push")
        try:
            client.ping()
            return client
        except Unavailable:
            if endpoint is endpoints[-1]:
                raise
    raise AssertionError("there is always an endpoint")
