"""The X-Registry-Auth header: registry credentials as base64url of JSON."""

from __future__ import annotations

import base64
import binascii

from hostagent import wire

HEADER = "x-registry-auth"


def decode(header: str | None) -> wire.AuthConfig | None:
    """The credentials, or None without any.

    What cannot be read counts as none, as in Docker: clients send `e30=` ({}), `null`, or plain base64 where
    base64url is asked, with or without padding, and public images need no credentials.
    """
    if not header:
        return None
    text = header.strip().rstrip("=").replace("+", "-").replace("/", "_")
    try:
        auth = wire.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), wire.AuthConfig)
    except (ValueError, binascii.Error):
        return None
    return auth if auth != wire.AuthConfig() else None


def from_body(body: bytes) -> wire.AuthConfig | None:
    """The credentials of a push in its old form: plain JSON in the body."""
    try:
        auth = wire.decode(body, wire.AuthConfig) if body.strip() else wire.AuthConfig()
    except ValueError:
        return None
    return auth if auth != wire.AuthConfig() else None
