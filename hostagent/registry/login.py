"""`docker login`: whether a registry takes the credentials. Sources: distribution docs/spec/auth/; moby 26.1
registry/auth.go (the words)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from http import HTTPStatus

from hostagent.errors import EngineError, Unauthorized
from hostagent.registry.auth import Credentials
from hostagent.registry.config import Endpoint
from hostagent.registry.session import Session


def login(endpoints: Sequence[Endpoint], credentials: Credentials) -> str:
    """The identity token to keep instead of the password, "" when the registry gives none.

    Raises Unauthorized, Unavailable. A refusal is final: the password is not tried without TLS afterwards.
    """
    for endpoint in endpoints:
        try:
            return _at(endpoint, credentials)
        except Unauthorized:
            raise
        except EngineError:
            if endpoint is endpoints[-1]:
                raise
    raise AssertionError("there is always an endpoint")


def _at(endpoint: Endpoint, credentials: Credentials) -> str:
    url = f"{endpoint.url}/v2/"
    with closing(Session(endpoint, credentials, offline=True)) as session:
        answer = session.send("GET", url)
        if answer.status == 200:
            answer.drain_conn()
            return session.identity_token
        status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
        text = f"login attempt to {url} failed with status: {status}"
        error = session.refuse(answer, text)
    raise Unauthorized(f"{text}: is the password right?") if answer.status in (401, 403) else error
