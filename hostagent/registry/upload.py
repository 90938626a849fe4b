"""One blob to a registry: in one request when it is small, in chunks that can be resumed when it is not.

Source: OCI distribution-spec 1.1, "Pushing blobs". Debian's registry forgets an upload whose chunk broke in the
middle; then, and wherever a registry does not know an upload any more, it begins anew.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import IO
from urllib.parse import urlencode

from hostagent.errors import Unavailable
from hostagent.registry.client import Client
from hostagent.registry.session import ATTEMPTS, pause

CHUNK_BYTES = 64 << 20  # per request
_RANGE = re.compile(r"(?:bytes=)?0-(\d+)")

Count = Callable[[int], None]
"""Hears how many bytes are done."""


class _Slice:
    """The bytes `start` to `stop` of a file, whose readers are told about. urllib3 rewinds it for a redirect."""

    def __init__(self, file: IO[bytes], start: int, stop: int, count: Count) -> None:
        self._file, self._start, self._stop, self._count = file, start, stop, count
        self._at = start

    def read(self, amount: int = -1) -> bytes:
        left = self._stop - self._at
        self._file.seek(self._at)
        data = self._file.read(left if amount < 0 else min(amount, left))
        self._at += len(data)
        self._count(self._at)
        return data

    def tell(self) -> int:
        return self._at - self._start

    def seek(self, offset: int) -> int:
        self._at = self._start + offset
        return offset


@dataclass(frozen=True)
class _State:
    """An upload under way: where it goes on, and how many bytes the registry has."""

    url: str
    done: int = 0


class Upload:
    """Of the file at `path`."""

    def __init__(
        self, client: Client, digest: str, path: str, count: Count, chunk: int = CHUNK_BYTES
    ) -> None:
        self._client = client
        self._digest = digest
        self._path = path
        self._size = os.stat(path).st_size
        self._count = count
        self._chunk = chunk

    def run(self, url: str) -> None:
        """`url` is that of the upload just begun. Raises Unauthorized, Denied, Unavailable, EngineError."""
        state: _State | None = _State(url)
        failures = furthest = 0
        with open(self._path, "rb", buffering=0) as file:
            while True:
                try:
                    if state is None:
                        state = _State(self._client.begin_upload())
                    while self._size - state.done > self._chunk:
                        state = self._patch(file, state)
                        if state.done > furthest:
                            failures, furthest = 0, state.done
                    self._finish(file, state)
                    return
                except _Lost:
                    failures += 1
                    if failures >= ATTEMPTS:
                        raise Unavailable(
                            f"{self._client.host} broke off {ATTEMPTS} times while the layer {self._digest} was "
                            f"pushed to {self._client.path}: try again"
                        ) from None
                    time.sleep(pause(failures))
                    state = self._resumed(state)

    def _patch(self, file: IO[bytes], state: _State) -> _State:
        stop = state.done + self._chunk
        headers = {"Content-Range": f"{state.done}-{stop - 1}"}
        status, url = self._send("PATCH", state.url, headers, file, state.done, stop)
        if status != 202:
            raise _Lost
        return replace(state, url=url, done=stop)

    def _finish(self, file: IO[bytes], state: _State) -> None:
        url = f"{state.url}{'&' if '?' in state.url else '?'}{urlencode({'digest': self._digest})}"
        headers = {"Content-Range": f"{state.done}-{self._size - 1}"} if state.done else {}
        self._send("PUT", url, headers, file, state.done, self._size)

    def _send(
        self, method: str, url: str, headers: dict[str, str], file: IO[bytes], start: int, stop: int
    ) -> tuple[int, str]:
        """The status of the answer, a good one, and where to go on. Raises _Lost, and EngineError for a refusal."""
        client = self._client
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(stop - start), **headers}

        def body() -> IO[bytes]:
            return _Slice(file, start, stop, self._count)  # type: ignore[return-value]  # all that urllib3 needs

        try:
            answer = client.send(method, url, headers, body, patient=False)
        except Unavailable as error:
            raise _Lost from error
        if answer.status in (404, 416):
            answer.drain_conn()
            raise _Lost  # it knows the upload no more, or has another part of it
        if answer.status not in (201, 202, 204):
            raise client.refuse(answer, f"cannot push the layer {self._digest} to {client.path}")
        answer.drain_conn()
        return answer.status, client.located(answer, url)

    def _resumed(self, state: _State | None) -> _State | None:
        """What the registry has of the upload; None = begin anew."""
        if state is None or self._size <= self._chunk:
            return None
        try:
            answer = self._client.send("GET", state.url, patient=False)
        except Unavailable:
            return None
        answer.drain_conn()
        match = _RANGE.fullmatch(answer.headers.get("Range", ""))
        if answer.status != 204 or match is None:
            return None
        # "0-0" is said for one byte and for none; to send that byte again would be refused.
        done = int(match[1]) + 1 if int(match[1]) else 0
        return _State(self._client.located(answer, state.url), min(done, self._size))


class _Lost(Exception):
    """The upload has to be looked for, or begun anew."""
