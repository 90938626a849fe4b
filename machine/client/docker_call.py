"""What all calls of the Docker Engine API have in common: paths, queries, errors, streams of JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar
from urllib.parse import quote, urlencode

from hostagent import wire
from machine.client.http import DEFAULT_TIMEOUT, Body, Http, Response
from machine.client.keeper.protocol import KEEPER_HEADER
from machine.errors import (
    CannotInvoke,
    CommandNotFound,
    DaemonError,
    Denied,
    HostKeyMismatch,
    MachineError,
    RunFailed,
    Unavailable,
)

T = TypeVar("T")
Filters = Mapping[str, Sequence[str]]
Query = Mapping[str, str | int | bool | Sequence[str] | None]

_KEEPER_ERRORS: Final[Mapping[str, type[MachineError]]] = {
    "host-key": HostKeyMismatch,
    "denied": Denied,
    "unavailable": Unavailable,
}


class Caller:
    """Turns typed calls into HTTP, error statuses into exceptions. No version in paths: the engine's own."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def call(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> Response:
        """The answer of a call that succeeded (1xx-3xx). Raises DaemonError with the engine's own message."""
        fields = dict(headers or {})
        if body is not None:
            fields.setdefault("Content-Type", "application/json")
        response = self._http.request(
            method, path + _encode(query or {}), headers=fields, body=body, timeout=timeout
        )
        if response.status >= 400:
            raise _failure(response)
        return response

    def done(
        self, method: str, path: str, query: Query | None = None, *, timeout: float | None = DEFAULT_TIMEOUT
    ) -> bool:
        """A call without an answer worth reading; False if there was nothing to change (304)."""
        response = self.call(method, path, query, timeout=timeout)
        response.read()
        return response.status != 304

    def get(self, path: str, kind: type[T], query: Query | None = None) -> T:
        return decode(self.call("GET", path, query).read(), kind)


def path_of(*parts: str) -> str:
    """An API path of parts that may hold anything (an image's name holds slashes, which stay)."""
    return "/" + "/".join(quote(part, safe="/:@") for part in parts)


def decode(data: bytes, kind: type[T]) -> T:
    """JSON as a wire type; an engine that answers something else is Unavailable."""
    try:
        return wire.decode(data, kind)
    except ValueError as error:
        raise Unavailable(f"the engine's answer is not what its API promises: {error}") from error


def filters(chosen: Filters | None) -> str | None:
    """The `filters` parameter, in the form of API 1.22 and later."""
    if not chosen:
        return None
    return json.dumps({name: dict.fromkeys(values, True) for name, values in chosen.items()})


def auth_header(auth: wire.AuthConfig | None) -> dict[str, str]:
    """X-Registry-Auth; "{}" when there are no credentials, since a push must have the header."""
    text = wire.encode(auth) if auth is not None else b"{}"
    return {"X-Registry-Auth": base64.urlsafe_b64encode(text).decode()}


def progress(response: Response) -> Iterator[wire.Progress]:
    """The reports of a pull, push, load or import. DaemonError where the stream says that it failed."""
    with response:
        for line in response.lines():
            report = decode(line, wire.Progress)
            text = report.error_detail.message if report.error_detail is not None else report.error
            if text:
                code = report.error_detail.code if report.error_detail is not None else 0
                raise DaemonError(text, code or 500)
            yield report


def split_reference(reference: str) -> tuple[str, str | None]:
    """Name and tag (or digest) as the API wants them: `host:5000/a/b:v1` -> (`host:5000/a/b`, `v1`)."""
    if "@" in reference:
        name, _, digest = reference.partition("@")
        # A tag beside a digest says nothing: the digest decides.
        return split_reference(name)[0], digest
    head, slash, last = reference.rpartition("/")
    name, _, tag = last.partition(":")
    return f"{head}{slash}{name}", tag or None


def run_failure(error: DaemonError) -> RunFailed:
    """docker's exit codes for what did not start: 127 not found, 126 not executable, else 125."""
    text = str(error)
    if "executable file not found" in text or "no such file or directory" in text:
        return CommandNotFound(text)
    if "permission denied" in text or "is a directory" in text:
        return CannotInvoke(text)
    return RunFailed(text)


def _encode(query: Query) -> str:
    """A query string: booleans as 1 and 0, None left out, a sequence as a repeated parameter."""
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        if isinstance(value, bool):
            pairs.append((name, str(int(value))))
        elif isinstance(value, str | int):
            pairs.append((name, str(value)))
        elif value is not None:
            pairs.extend((name, item) for item in value)
    return "?" + urlencode(pairs) if pairs else ""


def _failure(response: Response) -> MachineError:
    body = response.read()
    try:
        text = wire.decode(body, wire.Error).message
    except ValueError:
        text = body.decode(errors="replace").strip()
    kind = _KEEPER_ERRORS.get(response.headers.get(KEEPER_HEADER, ""))
    if kind is not None:
        return kind(text)
    return DaemonError(text or f"the engine answered with status {response.status}", response.status)
