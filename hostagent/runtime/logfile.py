"""A container's log, written by its shim alone: the streams' lines go to a sink, which is a file or the journal."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Protocol

from hostagent.runtime import logcompress
from hostagent.runtime.loglines import Lines

ROTATION_SUFFIX = ".next"


class Sink(Protocol):
    """Where entries go. A full disk or a dead journal loses lines, never the container."""

    def put(self, stream: str, entries: list[bytes], whole: bool, time_ns: int) -> None:
        """`entries` as `Lines.feed` gives them; `stream` is "stdout" or "stderr"."""

    def close(self) -> None:
        """What was put is out."""


class Log:
    """What a session writes to."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lines = Lines()

    def write(self, stream: str, data: bytes) -> None:
        """What `stream` just said; its complete lines are with the sink when this returns."""
        entries, whole = self._lines.feed(stream, data)
        if entries:
            self._sink.put(stream, entries, whole, time.time_ns())

    def end(self, stream: str) -> None:
        """The stream is over."""
        if entries := self._lines.end(stream):
            self._sink.put(stream, entries, False, time.time_ns())

    def close(self) -> None:
        self._sink.close()


class Encoding(Protocol):
    """How entries stand in a file."""

    def encode(self, stream: str, entries: list[bytes], whole: bool, time_ns: int) -> bytes: ...

    def boundary(self, data: bytes, start: int, wanted: int) -> int:
        """Where the entry that reaches `start + wanted` bytes ends."""


class LogFile:
    """Appends to `path`, and moves it out of the way once it holds `max_size` bytes: to `path`.1 and so on, so that
    there are never more than `max_files`. `lost` counts bytes that a full disk did not take."""

    def __init__(
        self, path: str, encoding: Encoding, max_size: int = -1, max_files: int = 1, compress: bool = False
    ) -> None:
        self._path = path
        self._encoding = encoding
        self._max_size = max_size
        self._max_files = max_files
        self._compress = compress and max_files > 1
        self._compressor = 0
        self._fd = self._open(path, os.O_APPEND)
        self._size = os.fstat(self._fd).st_size
        self.lost = 0

    @staticmethod
    def _open(path: str, flags: int) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o640)

    def put(self, stream: str, entries: list[bytes], whole: bool, time_ns: int) -> None:
        """Entries are never torn: each is in one file, or lost as a whole."""
        data = self._encoding.encode(stream, entries, whole, time_ns)
        if self._max_size < 0:
            self._append(data)
            return
        start = 0
        while start < len(data):
            if self._size >= self._max_size:
                self._rotate()
            # At least one entry goes into each file, whatever its size; the one that fills a file is its last.
            room = max(self._max_size - self._size, 1)
            end = len(data) if len(data) - start <= room else self._encoding.boundary(data, start, room)
            self._append(data[start:end])
            start = end

    def _append(self, data: bytes) -> None:
        written = 0
        try:
            written = os.write(self._fd, data)
            if written < len(data):  # a short write on a regular file means that the disk just filled up
                written += os.write(self._fd, data[written:])
        except OSError:
            pass  # counted below
        if written == len(data):
            self._size += written
            return
        self.lost += len(data)
        if written:
            # A torn entry would spoil those after it. Not by `_size`: somebody may have emptied the file.
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)

    def _rotate(self) -> None:
        self._settle()
        path = self._path
        try:
            # First what may fail: on a full disk, or without its folder, the old file goes on.
            fresh = self._open(path + ROTATION_SUFFIX, os.O_APPEND | os.O_TRUNC)
        except OSError:
            return
        try:
            self._make_way()
            os.rename(path + ROTATION_SUFFIX, path)
        except OSError:
            os.close(fresh)
            return
        os.close(self._fd)
        self._fd, self._size = fresh, 0
        if self._compress:
            self._compressor = logcompress.start(f"{path}.1")

    def _make_way(self) -> None:
        """Each file takes the next number; the one with the highest goes. A reader counts on one event for `path`."""
        path = self._path
        if self._max_files < 2:
            with suppress(FileNotFoundError):
                os.unlink(path)
            return
        extension = ".gz" if self._compress else ""
        for number in range(self._max_files - 1, 1, -1):
            _move(f"{path}.{number - 1}{extension}", f"{path}.{number}{extension}")
        _move(path, f"{path}.1")

    def _settle(self) -> None:
        """Until the file before is compressed: its name is needed again."""
        if self._compressor:
            os.waitpid(self._compressor, 0)
            self._compressor = 0

    def close(self) -> None:
        self._settle()
        os.close(self._fd)


def _move(source: str, target: str) -> None:
    with suppress(FileNotFoundError):  # not so many yet, or somebody took it away
        os.rename(source, target)
