"""A client of one repository on one registry: synchronous, for workers. Source: OCI distribution-spec 1.1.

Everything is checked against its digest here, so a caller never sees bytes that the registry was not asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlencode, urljoin

import msgspec
import urllib3
from urllib3.exceptions import HTTPError

from hostagent.errors import EngineError, Invalid, Unavailable
from hostagent.registry import media
from hostagent.registry.answers import reason_of
from hostagent.registry.auth import Credentials
from hostagent.registry.config import Endpoint
from hostagent.registry.manifest import MANIFEST_LIMIT, digest_of
from hostagent.registry.session import Session

TAGS_LIMIT = 100_000  # of one repository
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')


@dataclass(frozen=True)
class FetchedManifest:
    """A manifest's exact bytes."""

    raw: bytes
    digest: str
    media_type: str


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


class Client(Session):
    """`path` is the repository's (`library/busybox`); `actions` what tokens are asked for (`pull`, `pull,push`)."""

    def __init__(
        self,
        endpoint: Endpoint,
        path: str,
        credentials: Credentials | None,
        actions: str = "pull",
        authorization: str | None = None,
    ) -> None:
        super().__init__(endpoint, credentials, (f"repository:{path}:{actions}",), authorization)
        self.path = path

    def url(self, kind: str, name: str) -> str:
        return f"{self.endpoint.url}/v2/{self.path}/{kind}/{name}"

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
        raw = self._read(answer, f"the manifest {name}")
        digest = digest_of(raw)
        wanted = name if name.startswith("sha256:") else answer.headers.get("Docker-Content-Digest", digest)
        if wanted.startswith("sha256:") and wanted != digest:
            raise EngineError(
                f"manifest verification failed for digest {wanted}: {self.host} sent {digest} instead: "
                "the registry is damaged or lies; nothing was kept"
            )
        return FetchedManifest(raw, digest, answer.headers.get("Content-Type", "").partition(";")[0].strip())

    def tags(self) -> list[str]:
        """All tags of the repository, in the registry's order. Raises NotFound, Invalid, Unavailable."""
        found: list[str] = []
        url = self.url("tags", "list")
        while True:
            answer = self.send("GET", url)
            if answer.status != 200:
                raise self.refuse(answer, f"no tags of {self.path}")
            raw = self._read(answer, "the list of tags")
            try:
                page = msgspec.json.decode(raw, type=_Tags).tags or []
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise Unavailable(f"{self.host} answered no list of tags of {self.path}: {error}") from error
            found += page
            link = _NEXT.search(answer.headers.get("Link", ""))
            if link is None or not page:
                return found
            if len(found) > TAGS_LIMIT:
                raise Invalid(f"{self.path} has more than {TAGS_LIMIT} tags: name the ones that you want")
            url = urljoin(url, link[1])

    def _read(self, answer: urllib3.BaseHTTPResponse, what: str) -> bytes:
        try:
            raw = answer.read(MANIFEST_LIMIT + 1, decode_content=False)
        except HTTPError as error:
            raise Unavailable(f"{self.host} broke off in the middle of {what}: {reason_of(error)}") from error
        if len(raw) > MANIFEST_LIMIT:
            answer.close()
            raise Invalid(f"{what} of {self.path} is larger than {MANIFEST_LIMIT} bytes: refused")
        answer.release_conn()
        return raw

    def has_blob(self, digest: str) -> bool:
        answer = self.send("HEAD", self.url("blobs", digest))
        answer.drain_conn()
        if answer.status in (200, 404):
            return answer.status == 200
        raise self.refuse(answer, f"cannot look for the layer {digest} in {self.path}")

    def begin_upload(self, digest: str = "", source: str = "") -> str:
        """The URL of a new upload; "" when the registry took the blob `digest` from its repository `source` instead."""
        url = self.url("blobs", "uploads/")
        if source:
            url += "?" + urlencode({"mount": digest, "from": source})
            self.extra_scopes = (f"repository:{source}:pull",)
        try:
            answer = self.send("POST", url, {"Content-Length": "0"})
        finally:
            self.extra_scopes = ()
        if source and answer.status == 201:
            answer.drain_conn()
            return ""
        if answer.status != 202:
            raise self.refuse(answer, f"cannot push to {self.path}")
        answer.drain_conn()
        return self.located(answer, url)

    @staticmethod
    def located(answer: urllib3.BaseHTTPResponse, url: str) -> str:
        """Where an upload goes on; `url` is what was asked."""
        return urljoin(url, answer.headers.get("Location", url))

    def push_manifest(self, name: str, raw: bytes, media_type: str) -> None:
        """Put a manifest under a tag or digest."""
        headers = {"Content-Type": media_type, "Content-Length": str(len(raw))}
        answer = self.send("PUT", self.url("manifests", name), headers, lambda: raw)
        if answer.status != 201:
            raise self.refuse(answer, f"cannot push the manifest {name} to {self.path}")
        answer.drain_conn()
