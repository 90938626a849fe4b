"""Builds of images."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping

from hostagent import wire
from machine.client.docker_call import Caller, Query, progress

_TAR = {"Content-Type": "application/x-tar"}


class Builds:
    """A report iterator does the work as it is read: read it to its end."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def build(
        self, query: Query, context: Iterable[bytes] | None, accounts: Mapping[str, wire.AuthConfig]
    ) -> Iterator[wire.Progress]:
        """`query`: parameters of POST /build; `context`: a tar, None when `query` says where it is (`remote`)."""
        body = None if context is None else context
        return progress(
            self._caller.call(
                "POST", "/build", query, body=body, headers=_TAR | accounts_header(accounts), timeout=None
            )
        )


def accounts_header(accounts: Mapping[str, wire.AuthConfig]) -> dict[str, str]:
    """X-Registry-Config: the credentials for whatever FROM names."""
    return {"X-Registry-Config": base64.urlsafe_b64encode(wire.encode(dict(accounts))).decode()}
