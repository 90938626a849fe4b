"""The files that a log consists of, oldest first: `path`.2.gz, `path`.1, `path`."""

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from hostagent.engine.logs.logformats import BLOCK, Format
from hostagent.engine.logs.logwatch import News
from hostagent.runtime.logcompress import GZIP

TRIES = 20
"""A log that is rotated again and again while we look: then it is taken as it was seen last."""


class LogFile:
    """One of them, opened. `generation` counts up with each rotation, so that there is an order although names move."""

    def __init__(self, fd: int, generation: int, compressed: bool) -> None:
        self.fd = fd
        self.generation = generation
        self.compressed = compressed
        self._block = BLOCK // 16 if compressed else BLOCK
        self._position = 0
        self._unpacker = zlib.decompressobj(GZIP)
        self._pending = b""
        self.skip = 0
        """Entries at its beginning that are not wanted."""

    def read(self) -> bytes:
        """The next bytes, with those that `keep` gave back; empty when there are no new ones (yet)."""
        if not self.compressed and os.fstat(self.fd).st_size < self._position:
            # The disk was full, and the shim has taken back what it had half written.
            self._position -= len(self._pending)
            self._pending = b""
        data = b""
        while not data and (block := os.pread(self.fd, self._block, self._position)):
            self._position += len(block)
            # Compressed bytes may say nothing yet, and that is not the end.
            data = self._unpacker.decompress(block) if self.compressed else block
        if data:
            data, self._pending = self._pending + data, b""
        return data

    def keep(self, rest: bytes) -> None:
        """The beginning of an entry, for the next `read`."""
        self._pending = rest

    def only_last(self, form: Format, wanted: int) -> int:
        """Begin with the last `wanted` entries; how many there are, at most `wanted`."""
        if not self.compressed:
            self._position, found = form.tail(self.fd, wanted)
            return found
        total = 0
        while data := self.read():
            number, used = form.count(data)
            total += number
            self.keep(data[used:])
        self._position, self._unpacker, self._pending = 0, zlib.decompressobj(GZIP), b""
        self.skip = max(0, total - wanted)
        return min(total, wanted)

    def close(self) -> None:
        os.close(self.fd)


@dataclass(frozen=True)
class LogFiles:
    """Where they are."""

    path: str
    form: Format
    max_files: int

    def open_all(self, news: News) -> list[LogFile]:
        """Those that exist, oldest first, each once."""
        for attempt in range(TRIES):
            before = news.refresh()
            found = self._open_each(before)
            if news.refresh() == before or attempt == TRIES - 1:
                break
            close(found)
        return found

    def _open_each(self, rotations: int) -> list[LogFile]:
        # From the newest on: a file that moves meanwhile moves in our direction, and is met twice rather than never.
        found: list[LogFile] = []
        seen: set[int] = set()
        for index in range(self.max_files):
            file = self._open(index, rotations - index)
            if file is None:
                continue
            inode = os.fstat(file.fd).st_ino
            if inode in seen:
                file.close()
                continue
            seen.add(inode)
            found.append(file)
        found.reverse()
        return found

    async def after(self, generation: int, news: News) -> LogFile | None:
        """The file that was begun when the one of `generation` was full; the oldest that is left if that is gone."""
        generation, misses = generation + 1, 0
        while generation <= (rotations := news.refresh()):
            generation = max(generation, rotations - self.max_files + 1)
            file = self._open(rotations - generation, generation)
            if news.refresh() != rotations:
                if file:
                    file.close()
            elif file or generation == rotations:
                return file
            elif misses < TRIES:
                misses += 1  # between two names, because there is a rotation just now
                await asyncio.sleep(0.001)
            else:
                generation, misses = generation + 1, 0
        return None

    def _open(self, index: int, generation: int) -> LogFile | None:
        name = f"{self.path}.{index}" if index else self.path
        for suffix in ("", ".gz") if index else ("",):
            try:
                fd = os.open(name + suffix, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            return LogFile(fd, generation, bool(suffix))
        return None


def close(files: Iterable[LogFile]) -> None:
    for file in files:
        file.close()
