"""Which of a name's endpoints to use: mirrors, TLS, plain http."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from hostagent.errors import Denied, EngineError, NotFound, Unauthorized, Unavailable
from hostagent.model.reference import Reference
from hostagent.registry.auth import Credentials
from hostagent.registry.client import Client, FetchedManifest
from hostagent.registry.config import Endpoint

ResultT = TypeVar("ResultT")


def open_repository(
    endpoints: Sequence[Endpoint], reference: Reference, credentials: Credentials | None
) -> tuple[Client, FetchedManifest]:
    """The first endpoint that has the reference, and its manifest there."""
    name = reference.digest or reference.tag or "latest"

    def ask(client: Client) -> tuple[Client, FetchedManifest]:
        return client, client.manifest(name)

    return first(endpoints, reference, credentials, ask)


def first(
    endpoints: Sequence[Endpoint],
    reference: Reference,
    credentials: Credentials | None,
    ask: Callable[[Client], ResultT],
) -> ResultT:
    """What the first endpoint says that has an answer, in order.

    A mirror that lacks it or is down is passed over; so is https where plain http is allowed too.
    """
    for endpoint in endpoints:
        # Credentials are for the registry that the name says, not for a mirror.
        client = Client(endpoint, reference.path, None if endpoint.mirror else credentials)
        try:
            return ask(client)
        except EngineError as error:
            passable = isinstance(error, Unavailable) or endpoint.mirror
            if not passable or endpoint is endpoints[-1]:
                raise _explained(error, reference) from error
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


def open_for_push(endpoints: Sequence[Endpoint], path: str, credentials: Credentials | None) -> Client:
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
