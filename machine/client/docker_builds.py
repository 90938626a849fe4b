"""Builds of images."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping

from hostagent import wire
from hostagent.wire.context import BuildInput, ContextLacks, ContextState
from machine.client.docker_call import Caller, Query, decode, path_of, progress
from machine.errors import DaemonError

_BUILD = "/pymachine/v1/build"
_CONTENTS = "/pymachine/v1/contents"
_BYTES = {"Content-Type": "application/octet-stream"}
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

    # -- contexts in parts, which dockerd does not have

    def takes_parts(self) -> bool:
        """Whether this engine takes contexts in parts."""
        try:
            self.context_state("0" * 32, "0" * 64)
        except DaemonError as error:
            if error.status != 404:
                raise
            return False
        return True

    def context_state(self, name: str, wanted: str) -> ContextState:
        return self._caller.get(path_of("pymachine", "v1", "contexts", name), ContextState, {"id": wanted})

    def describe_context(self, name: str, wanted: str, pieces: bytes) -> ContextLacks:
        path = path_of("pymachine", "v1", "contexts", name)
        response = self._caller.call("PUT", path, {"id": wanted}, body=pieces, headers=_BYTES, timeout=None)
        return decode(response.read(), ContextLacks)

    def send_contents(self, stream: Iterable[bytes]) -> None:
        self._caller.call("POST", _CONTENTS, body=stream, headers=_BYTES, timeout=None).read()

    def build_context(
        self, query: Query, name: str, wanted: str, given: BuildInput, accounts: Mapping[str, wire.AuthConfig]
    ) -> Iterator[wire.Progress]:
        """A build on a context that the host has. Raises DaemonError 404 when it has forgotten it."""
        query = {**query, "context": name, "id": wanted}
        headers = accounts_header(accounts)
        return progress(
            self._caller.call("POST", _BUILD, query, body=wire.encode(given), headers=headers, timeout=None)
        )


def accounts_header(accounts: Mapping[str, wire.AuthConfig]) -> dict[str, str]:
    """X-Registry-Config: the credentials for whatever FROM names."""
    return {"X-Registry-Config": base64.urlsafe_b64encode(wire.encode(dict(accounts))).decode()}
