"""Bearer tokens from a registry's token server. Source: distribution docs/spec/auth/ (token, oauth)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec
import urllib3
from urllib3.exceptions import HTTPError

from hostagent.errors import Unauthorized, Unavailable
from hostagent.registry.answers import limited, reason_of, said
from hostagent.registry.auth import Challenge, Credentials, TokenAnswer

CLIENT = "hostagent"
ANSWER_LIMIT = 1 << 20  # bytes


@dataclass(frozen=True)
class Asked:
    """`host` is the registry's, for messages. `offline`: ask for an identity token too, as a login does."""

    host: str
    challenge: Challenge
    scopes: Sequence[str]
    credentials: Credentials
    offline: bool = False


def token(http: urllib3.PoolManager, asked: Asked) -> TokenAnswer:
    """A token for the scopes. Raises Unauthorized when the server refuses the login, Unavailable otherwise."""
    realm = asked.challenge.parameters.get("realm", "")
    if not realm.startswith(("https://", "http://")):
        raise Unavailable(f"the registry {asked.host} names no token server: {realm!r}")
    who = f"the token server {realm} of {asked.host}"
    try:
        answer = _ask(http, realm, asked)
        data = answer.read(ANSWER_LIMIT, decode_content=True)
        answer.release_conn()
    except HTTPError as error:
        raise Unavailable(f"{who} cannot be reached: {reason_of(error)}") from error
    if answer.status in (401, 403):
        told = said(data) or "incorrect username or password, or no access"
        raise Unauthorized(f"{asked.host} refused the login: unauthorized: {told}")
    if answer.status == 429:
        raise limited(asked.host, said(data), answer.headers.get("Retry-After", ""))
    if answer.status != 200:
        raise Unavailable(f"{who} answered {answer.status}{': ' + said(data) if said(data) else ''}")
    try:
        found = msgspec.json.decode(data, type=TokenAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unavailable(f"{who} answered no token: {error}") from error
    if not found.bearer():
        raise Unavailable(f"{who} answered no token")
    return found


def _ask(http: urllib3.PoolManager, realm: str, asked: Asked) -> urllib3.BaseHTTPResponse:
    known = asked.credentials
    service = asked.challenge.parameters.get("service", "")
    headers = {"User-Agent": CLIENT}
    if known.identity_token:
        fields = {
            "grant_type": "refresh_token",
            "refresh_token": known.identity_token,
            "service": service,
            "scope": " ".join(asked.scopes),
            "client_id": CLIENT,
        }
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return http.request("POST", realm, headers=headers, body=urlencode(fields), preload_content=False)
    query = [("service", service), *(("scope", scope) for scope in asked.scopes)]
    if asked.offline:
        query += [("offline_token", "true"), ("client_id", CLIENT)]
    basic = known.basic()
    if basic is not None:
        headers["Authorization"] = basic
        query.append(("account", known.username))
    joined = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
    return http.request("GET", joined, headers=headers, preload_content=False)
