"""One registry's HTTP: requests, logins, and what its refusals mean. Sources: OCI distribution-spec 1.1; distribution
docs/spec/auth/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import IO
from urllib.parse import urlencode

import msgspec
import urllib3
from urllib3.exceptions import HTTPError, InsecureRequestWarning, SSLError

from hostagent.errors import Denied, EngineError, NotFound, Unauthorized, Unavailable
from hostagent.registry.auth import Challenge, Credentials, TokenAnswer, parse_challenge
from hostagent.registry.config import Endpoint

CHUNK = 1 << 20  # bytes per read and write
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0


class _Fault(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Faults(msgspec.Struct):
    errors: list[_Fault] = []


class Session:
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
        self.path = path
        self._credentials = credentials
        self._scope = f"repository:{path}:{actions}"
        self.extra_scopes: tuple[str, ...] = ()
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

    def url(self, kind: str, name: str) -> str:
        return f"{self.endpoint.url}/v2/{self.path}/{kind}/{name}"

    def send(
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
                    f"the registry {self.host} has no certificate that this host trusts: {reason_of(error)}: "
                    "if it is yours, name it in insecure-registries"
                ) from error
            except HTTPError as error:
                raise Unavailable(
                    f"the registry {self.host} cannot be reached: {reason_of(error)}: "
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
        scopes = [challenge.parameters.get("scope") or self._scope, *self.extra_scopes]
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
                f"the token server {realm} of {self.host} cannot be reached: {reason_of(error)}"
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

    def refuse(self, answer: urllib3.BaseHTTPResponse, what: str) -> EngineError:
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


def reason_of(error: BaseException) -> str:
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
