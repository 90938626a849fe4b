"""A token server that Debian's docker-registry trusts. Source: distribution docs/spec/auth/ (jwt, token, oauth)."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import trustme
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509 import load_pem_x509_certificate

from tests.servers.scripted import Asked, Said

SERVICE, ISSUER = "the registry", "the token server"
PASSWORDS = {"me": "right"}
IDENTITY = "an identity token"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenServer:
    """A script for Scripted. `asked` are the queries for tokens; only `me` may push, everybody may pull `open/…`."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("tokens.test")
        self.roots = folder / "token-roots.pem"
        authority.cert_pem.write_to_path(str(self.roots))
        key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        leaf = load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
        self._leaf = base64.b64encode(leaf.public_bytes(serialization.Encoding.DER)).decode()
        self.asked: list[dict[str, list[str]]] = []

    def __call__(self, asked: Asked) -> Said:
        if asked.method == "POST":
            query = parse_qs(asked.take().decode())
            user = "me" if query["refresh_token"] == [IDENTITY] else ""
            if not user:
                return Said(401, b'{"details":"unknown identity token"}')
            query["scope"] = query.get("scope", [""])[0].split()
        else:
            query = parse_qs(urlsplit(asked.path).query)
            given = asked.headers.get("Authorization", "").removeprefix("Basic ")
            user, _, password = base64.b64decode(given).decode().partition(":")
            if user and PASSWORDS.get(user) != password:
                fault = {"code": "UNAUTHORIZED", "message": "incorrect username or password"}
                return Said(401, json.dumps({"errors": [fault]}).encode())
        self.asked.append(query)
        token = self._signed(user, [self._granted(user, scope) for scope in query.get("scope", []) if scope])
        answer = {"token": token, "access_token": token, "expires_in": 300}
        if "offline_token" in query and user:
            answer["refresh_token"] = IDENTITY
        return Said(body=json.dumps(answer).encode())

    @staticmethod
    def _granted(user: str, scope: str) -> dict[str, object]:
        kind, name, actions = scope.split(":")
        allowed = set(actions.split(",")) if user else {"pull"} if name.startswith("open/") else set()
        return {"type": kind, "name": name, "actions": sorted(allowed)}

    def _signed(self, user: str, access: list[dict[str, object]]) -> str:
        now = int(time.time())
        head = {"typ": "JWT", "alg": "ES256", "x5c": [self._leaf]}
        claims = {
            "iss": ISSUER, "sub": user, "aud": SERVICE, "exp": now + 300, "nbf": now - 5, "iat": now, "jti": str(now),
            "access": access,
        }  # fmt: skip
        body = ".".join(_b64(json.dumps(part).encode()) for part in (head, claims))
        r, s = decode_dss_signature(self._key.sign(body.encode(), ec.ECDSA(hashes.SHA256())))
        return body + "." + _b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
