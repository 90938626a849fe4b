"""The entries of a log file, as the shim wrote them (runtime/loglines.py): json-file and local."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple, Protocol

import msgspec

from hostagent.runtime.loglines import LOCAL_HEAD, LOCAL_TAIL, STREAM_IDS

BLOCK = 256 * 1024
NINE = len("2026-11-24T09:00:00.123456789Z")
_NOTHING: Mapping[str, str] = {}
_STREAMS = {number: name for name, number in STREAM_IDS.items()}


class Entry(NamedTuple):
    """`time` is RFC 3339 with nine digits of nanoseconds, so that texts compare as times do."""

    stream: str
    time: str
    text: bytes
    attributes: Mapping[str, str]


class Format(Protocol):
    def parse(self, data: bytes) -> tuple[list[Entry], int]:
        """(entries, bytes that they take); what is behind them is the beginning of one more."""

    def count(self, data: bytes) -> tuple[int, int]:
        """The same with the number of entries, quicker."""

    def tail(self, fd: int, wanted: int) -> tuple[int, int]:
        """(where the last `wanted` entries of a file begin, how many there are at most `wanted`)."""


class _JsonEntry(msgspec.Struct, frozen=True):
    log: str
    stream: str
    time: str
    attrs: dict[str, str] = {}


_decoder = msgspec.json.Decoder(_JsonEntry)


def _readable(data: bytes) -> list[_JsonEntry]:
    """All lines but those that were torn, because their writer was killed."""
    lines = []
    for line in data.split(b"\n"):
        with suppress(msgspec.DecodeError):
            lines.append(_decoder.decode(line))
    return lines


class JsonFormat:
    """A JSON object a line."""

    def parse(self, data: bytes) -> tuple[list[Entry], int]:
        end = data.rfind(b"\n") + 1
        try:
            lines = _decoder.decode_lines(data[:end])
        except msgspec.DecodeError:
            lines = _readable(data[:end])
        entries = [
            Entry(
                line.stream,
                at if len(at := line.time) == NINE else nine_digits(at),
                line.log.encode(),
                line.attrs,
            )
            for line in lines
        ]
        return entries, end

    def count(self, data: bytes) -> tuple[int, int]:
        return data.count(b"\n"), data.rfind(b"\n") + 1

    def tail(self, fd: int, wanted: int) -> tuple[int, int]:
        position = os.fstat(fd).st_size
        found = 0
        while position > 0:
            start = max(0, position - BLOCK)
            block = os.pread(fd, position - start, start)
            end = len(block)
            while (end := block.rfind(b"\n", 0, end)) >= 0:
                if found == wanted:
                    return start + end + 1, wanted
                found += 1
            position = start
        return 0, found


class LocalFormat:
    """LOCAL_HEAD, text, LOCAL_TAIL."""

    def parse(self, data: bytes) -> tuple[list[Entry], int]:
        entries: list[Entry] = []
        position, last = 0, len(data) - LOCAL_HEAD.size - LOCAL_TAIL.size
        second, stamp = -1, ""
        unpack, before, after = LOCAL_HEAD.unpack_from, LOCAL_HEAD.size, LOCAL_TAIL.size
        while position <= last:
            size, stream, time_ns = unpack(data, position)
            begin = position + before
            end = begin + size
            if end + after > len(data):
                break
            if time_ns // 1_000_000_000 != second:
                second = time_ns // 1_000_000_000
                stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            moment = f"{stamp}.{time_ns % 1_000_000_000:09d}Z"
            entries.append(Entry(_STREAMS[stream], moment, data[begin:end], _NOTHING))
            position = end + after
        return entries, position

    def count(self, data: bytes) -> tuple[int, int]:
        number = position = 0
        while position + LOCAL_HEAD.size <= len(data):
            end = position + LOCAL_HEAD.size + LOCAL_HEAD.unpack_from(data, position)[0] + LOCAL_TAIL.size
            if end > len(data):
                break
            number, position = number + 1, end
        return number, position

    def tail(self, fd: int, wanted: int) -> tuple[int, int]:
        position = os.fstat(fd).st_size
        found = 0
        while position > 0 and found < wanted:
            (size,) = LOCAL_TAIL.unpack(os.pread(fd, LOCAL_TAIL.size, position - LOCAL_TAIL.size))
            if not LOCAL_HEAD.size + LOCAL_TAIL.size <= size <= position:
                return 0, found  # torn: its writer was killed; what is before cannot be counted from here
            position -= size
            found += 1
        return position, found


def nine_digits(text: str) -> str:
    """Nanoseconds with their zeros at the end, which Go leaves out."""
    if len(text) == NINE:
        return text
    head, _, fraction = text.rstrip("Z").partition(".")
    return f"{head}.{fraction:0<9}Z"
