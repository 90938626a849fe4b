"""SHA-256 of files, remembered by what stat(2) says of them, so that a build need not read what has not changed.

    <home>/digests/<context>.msgpack    path -> inode, size, mtime, ctime, digest

An edit that leaves size and mtime as they were changes the ctime, which nobody can set. What was changed so shortly
before it was read that a later edit could have the same ctime is not remembered (as git's "racy" entries).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from machine.errors import Usage
from machine.model.paths import home

LIMIT: Final = 64 * 1024 * 1024
"""Bytes of all contexts' files; those used last stay."""
_RACE_NS: Final = 2_000_000_000
"""How coarse a file system's clock may be: FAT's two seconds."""

_Row = tuple[int, int, int, int, bytes]


class DigestCache:
    """Of one context, whose `name` is a file name."""

    def __init__(self, name: str) -> None:
        self._path = home() / "digests" / f"{name}.msgpack"
        try:
            self._rows = msgspec.msgpack.decode(self._path.read_bytes(), type=dict[bytes, _Row])
        except (OSError, msgspec.DecodeError):
            self._rows = {}

    def digests(self, directory: str, files: Iterable[tuple[str, os.stat_result]]) -> dict[str, bytes]:
        """By path, relative to `directory`; reads what it does not know, several at a time. Raises Usage."""
        found: dict[str, bytes] = {}
        rows: dict[bytes, _Row] = {}
        unknown: list[tuple[str, os.stat_result]] = []
        for path, status in files:
            row = self._rows.get(os.fsencode(path))
            if row is not None and row[:4] == _stamp(status):
                found[path] = row[4]
                rows[os.fsencode(path)] = row
            else:
                unknown.append((path, status))
        now = time.time_ns()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            hashed = pool.map(lambda each: _digest(os.path.join(directory, each[0])), unknown, chunksize=64)
            for (path, status), digest in zip(unknown, hashed, strict=True):
                found[path] = digest
                if now - max(status.st_ctime_ns, status.st_mtime_ns) > _RACE_NS:
                    rows[os.fsencode(path)] = (*_stamp(status), digest)
        if rows != self._rows:
            self._rows = rows
            self._save()
        return found

    def _save(self) -> None:
        """Whole or not at all. A home that cannot be written costs time, not the build."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd, temporary = tempfile.mkstemp(prefix=".", dir=self._path.parent)
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.msgpack.encode(self._rows))
            os.rename(temporary, self._path)
            _bound(self._path.parent)
        except OSError:
            return


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _digest(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise Usage(
            f"cannot read {path} ({error.strerror}): mend that, or name it in .dockerignore"
        ) from error


def _bound(directory: Path) -> None:
    files = sorted(
        ((file.stat().st_mtime_ns, file.stat().st_size, file) for file in directory.iterdir()), reverse=True
    )
    total = 0
    for _, size, file in files:
        total += size
        if total > LIMIT and file != files[0][2]:
            file.unlink(missing_ok=True)
