"""Credentials and the answer to a registry's challenge. Source: distribution docs/spec/auth/ (token, oauth)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from hostagent import wire

_PARAMETER = re.compile(r'([a-zA-Z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')


class Credentials(msgspec.Struct, frozen=True):
    """What `docker login` knows. `identity_token` is an OAuth refresh token, `registry_token` a bearer token."""

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    def basic(self) -> str | None:
        """The value of an Authorization header, or None without a password."""
        if not self.password:
            return None
        pair = f"{self.username}:{self.password}".encode()
        return "Basic " + base64.b64encode(pair).decode()

    def __repr__(self) -> str:
        return f"Credentials({self.username!r}, …)"  # never a secret in a traceback or log


def credentials(auth: wire.AuthConfig | None) -> Credentials | None:
    """As clients send them; None when there is nothing in it."""
    if auth is None:
        return None
    known = Credentials(auth.username, auth.password, auth.identitytoken, auth.registrytoken)
    return None if known == Credentials() else known


@dataclass(frozen=True)
class Challenge:
    """One challenge of WWW-Authenticate; `scheme` in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenge(header: str) -> Challenge:
    """`Bearer realm="https://…",service="…",scope="…"`; the first challenge of several."""
    scheme, _, rest = header.strip().partition(" ")
    parameters = {
        key.lower(): quoted.replace('\\"', '"') if quoted else plain
        for key, quoted, plain in _PARAMETER.findall(rest)
    }
    return Challenge(scheme.lower(), parameters)


class TokenAnswer(msgspec.Struct):
    """What a token server says; either of the first two holds the token. `refresh_token` = the identity token."""

    token: str = ""
    access_token: str = ""
    refresh_token: str = ""

    def bearer(self) -> str:
        return self.token or self.access_token
