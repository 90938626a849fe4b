"""One blob from a registry into a file, resumed where the connection broke."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator

from urllib3.exceptions import HTTPError

from hostagent.errors import EngineError, Unavailable
from hostagent.registry.answers import reason_of
from hostagent.registry.client import Client
from hostagent.registry.session import ATTEMPTS, CHUNK, pause

Count = Callable[[int], None]
"""Hears how many bytes are done."""


class _Broken(Exception):
    """The connection ended before the blob did."""


def download(client: Client, digest: str, size: int, fd: int, count: Count) -> None:
    """Write the blob to the empty file `fd`; check size and digest. Raises Unavailable, NotFound, EngineError."""
    hasher = hashlib.sha256()
    done = failures = 0
    while done < size or not size:
        try:
            for piece in _pieces(client, digest, done, size):
                if piece is None:  # the registry starts over
                    os.ftruncate(fd, 0)
                    os.lseek(fd, 0, os.SEEK_SET)
                    hasher, done = hashlib.sha256(), 0
                    continue
                hasher.update(piece)
                _write(fd, piece)
                done += len(piece)
                failures = 0
                count(done)
            if done == size:
                break
            problem = "it closed the connection"
        except _Broken as error:
            problem = str(error)
        failures += 1
        if failures >= ATTEMPTS:
            raise Unavailable(
                f"the layer {digest} is truncated: {client.host} sent {done} of {size} bytes ({problem}), "
                f"{ATTEMPTS} times; nothing was kept: try again, or push the image anew"
            )
        time.sleep(pause(failures))
    found = "sha256:" + hasher.hexdigest()
    if found != digest:
        raise EngineError(
            f"filesystem layer verification failed for digest {digest}: {client.host} sent {found} instead: "
            "the registry is damaged or lies; nothing was kept"
        )


def _pieces(client: Client, digest: str, start: int, size: int) -> Iterator[bytes | None]:
    """The bytes from `start` on; None = they begin at 0 after all. Raises when there are more than `size`."""
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        answer = client.send("GET", client.url("blobs", digest), headers, patient=False)
    except Unavailable as error:
        raise _Broken(str(error)) from error
    try:
        if answer.status == 206:
            if not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise Unavailable(f"{client.host} answered another range than it was asked for")
        elif answer.status == 200:
            if start:
                yield None
                start = 0
        else:
            raise client.refuse(answer, f"no layer {digest} of {client.path}")
        while piece := answer.read(CHUNK, decode_content=False):
            start += len(piece)
            if start > size:
                raise EngineError(
                    f"filesystem layer verification failed for digest {digest}: {client.host} sends more than "
                    f"the {size} bytes that the manifest says; nothing was kept"
                )
            yield piece
    except HTTPError as error:
        raise _Broken(reason_of(error)) from error
    finally:
        # Half-read answers cannot go back to the pool.
        answer.close()


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
