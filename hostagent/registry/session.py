"""One registry's HTTP: requests, logins, patience. Sources: OCI distribution-spec 1.1; distribution docs/spec/auth/."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import IO

import urllib3
from urllib3.exceptions import HTTPError, ProtocolError, SSLError

from hostagent.errors import EngineError, Unauthorized, Unavailable
from hostagent.registry import tls
from hostagent.registry.answers import cause_of, reason_of, refusal
from hostagent.registry.auth import Challenge, Credentials, parse_challenge
from hostagent.registry.config import Endpoint
from hostagent.registry.tokens import CLIENT, Asked, token

CHUNK = 1 << 20  # bytes per read and write
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
REDIRECTS = 5
ATTEMPTS = 5  # docker's own number
FIRST_PAUSE = 0.2  # seconds, doubled after each failed attempt
LONGEST_PAUSE = 30.0  # seconds; who wants us to wait longer is told to the user instead

Body = Callable[[], bytes | IO[bytes]]
"""Makes a request's body, anew for each attempt."""


def pause(failures: int) -> float:
    """Seconds to wait after that many failures in a row."""
    return float(FIRST_PAUSE * 2 ** (failures - 1))


class Session:
    """`scopes` are what tokens are asked for when the registry does not say, as `repository:library/x:pull`.

    `offline`: ask for an identity token too, which is in `identity_token` afterwards.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials | None,
        scopes: tuple[str, ...] = (),
        authorization: str | None = None,
        *,
        offline: bool = False,
    ) -> None:
        self.endpoint = endpoint
        self.identity_token = ""
        self._offline = offline
        self.authorization = authorization
        self.scopes = scopes
        self.extra_scopes: tuple[str, ...] = ()
        self._credentials = credentials or Credentials()
        # urllib3 takes Authorization off when a redirect leaves the host; it follows, and we retry.
        self._http = urllib3.PoolManager(
            retries=urllib3.Retry(total=None, connect=0, read=0, redirect=REDIRECTS, status=0, other=0),
            timeout=urllib3.Timeout(CONNECT_SECONDS, READ_SECONDS),
            ssl_context=tls.context(endpoint),
            blocksize=CHUNK,
        )

    def close(self) -> None:
        """Close the connections that are kept."""
        for key in self._http.pools.keys():  # noqa: SIM118  # it has no iterator
            if (pool := self._http.pools.get(key)) is not None:
                pool.close()

    @property
    def host(self) -> str:
        return self.endpoint.url.partition("://")[2]

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        *,
        patient: bool = True,
    ) -> urllib3.BaseHTTPResponse:
        """One request, authorised again when the registry asks for it, and repeated with growing pauses when it is
        overloaded. The caller reads and releases the answer.

        Raises Unavailable when there is no answer; a connection that breaks is tried again only if `patient`.
        """
        failures = 0
        authorised = False
        while True:
            try:
                answer = self._request(method, url, headers or {}, body)
            except ProtocolError as error:
                failures += 1
                if not patient or failures >= ATTEMPTS:
                    raise Unavailable(f"the registry {self.host} broke off: {reason_of(error)}") from error
                time.sleep(pause(failures))
                continue
            if answer.status == 401 and not authorised:
                authorised = True
                challenge = parse_challenge(answer.headers.get("WWW-Authenticate", ""))
                answer.drain_conn()
                self._authorise(challenge)
                continue
            if answer.status == 429 or answer.status >= 500:
                failures += 1
                seconds = _asked_pause(answer.headers.get("Retry-After", "")) or pause(failures)
                if failures < ATTEMPTS and seconds <= LONGEST_PAUSE:
                    answer.drain_conn()
                    time.sleep(seconds)
                    continue
            return answer

    def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None
    ) -> urllib3.BaseHTTPResponse:
        sent = {"User-Agent": CLIENT, "Accept-Encoding": "identity", **headers}
        # Another host's URL (of an upload) must not get the registry's token.
        if self.authorization and url.startswith(self.endpoint.url + "/"):
            sent["Authorization"] = self.authorization
        try:
            return self._http.request(
                method, url, headers=sent, body=body() if body else None, preload_content=False
            )
        except HTTPError as error:
            cause = cause_of(error)
            if isinstance(cause, ProtocolError):
                raise cause from error
            if isinstance(cause, SSLError):
                raise Unavailable(
                    f"the registry {self.host} and this host do not agree on certificates: {reason_of(error)}: put "
                    f"the CA's into /etc/docker/certs.d/{self.host}/ca.crt, or name the registry in "
                    "insecure-registries"
                ) from error
            raise Unavailable(
                f"the registry {self.host} cannot be reached: {reason_of(error)}: "
                "is it running, and can this host reach it?"
            ) from error

    def _authorise(self, challenge: Challenge) -> None:
        if challenge.scheme == "basic":
            basic = self._credentials.basic()
            if basic is None or self.authorization == basic:
                raise Unauthorized(
                    f"the registry {self.host} wants a login: unauthorized: authentication required: "
                    "pass credentials for it (docker login)"
                )
            self.authorization = basic
        elif challenge.scheme == "bearer":
            self.authorization = "Bearer " + (self._credentials.registry_token or self._token(challenge))
        else:
            raise Unauthorized(
                f"the registry {self.host} wants an unknown way to log in: {challenge.scheme or 'none named'}"
            )

    def _token(self, challenge: Challenge) -> str:
        asked = challenge.parameters.get("scope", "")
        scopes = (*((asked,) if asked else self.scopes), *self.extra_scopes)
        found = token(self._http, Asked(self.host, challenge, scopes, self._credentials, self._offline))
        self.identity_token = found.refresh_token
        return found.bearer()

    def refuse(self, answer: urllib3.BaseHTTPResponse, what: str) -> EngineError:
        """The error for an answer that is not the wanted one; reads it."""
        try:
            data = answer.read(65536, decode_content=False)
        except HTTPError:
            data = b""  # its status says enough
        answer.close()
        return refusal(self.host, answer.status, data, answer.headers.get("Retry-After", ""), what)


def _asked_pause(retry_after: str) -> float:
    """Seconds that the registry wants us to wait, 0 = it does not say. A date instead is not understood."""
    return float(retry_after) if retry_after.isdigit() else 0.0
