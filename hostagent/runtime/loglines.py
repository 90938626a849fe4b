"""From what a stream says to log entries: cut into lines, and written as json-file or local want them."""

from __future__ import annotations

import struct
import time
from itertools import count, repeat
from json.encoder import encode_basestring_ascii

LINE_MAX = 16 * 1024
"""A longer line is split, as Docker's copier does."""
_THREE_DIGITS = tuple(f"{number:03d}" for number in range(1000))

LOCAL_HEAD = struct.Struct(">IBQ")
"""Of an entry in a local log: length of the text, stream (STREAM_IDS), nanoseconds since the epoch."""
LOCAL_TAIL = struct.Struct(">I")
"""Behind the text: the entry's whole length, so that a file can also be read from its end."""
STREAM_IDS = {"stdout": 1, "stderr": 2}


class Lines:
    """Cuts streams into entries. A line without its newline waits in memory until the newline, LINE_MAX, or the end of
    its stream, whichever comes first."""

    def __init__(self) -> None:
        self._partial: dict[str, bytes] = {}

    def feed(self, stream: str, data: bytes) -> tuple[list[bytes], bool]:
        """(entries, True) when all are whole lines, given without their newlines: the usual case, and quick to write.

        (entries, False) when a line is too long: then those that have a newline still have it.
        """
        if partial := self._partial.pop(stream, b""):
            data = partial + data
        lines = data.split(b"\n")
        rest = lines.pop()
        if len(data) < LINE_MAX or max(map(len, (rest, *lines))) < LINE_MAX:
            if rest:
                self._partial[stream] = rest
            return lines, True
        pieces: list[bytes] = []
        for line in lines:
            while len(line) >= LINE_MAX:
                pieces.append(line[:LINE_MAX])
                line = line[LINE_MAX:]
            pieces.append(line + b"\n")
        while len(rest) >= LINE_MAX:
            pieces.append(rest[:LINE_MAX])
            rest = rest[LINE_MAX:]
        if rest:
            self._partial[stream] = rest
        return pieces, False

    def end(self, stream: str) -> list[bytes]:
        """The stream is over: its last line may lack a newline."""
        partial = self._partial.pop(stream, b"")
        return [partial] if partial else []


def rfc3339(time_ns: int) -> str:
    """UTC with nanoseconds, trailing zeros dropped, as Go's RFC3339Nano prints it."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    head = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return f"{head}{fraction}Z"


class JsonLines:
    """Docker's json-file: `{"log":"text\\n","stream":"stdout","time":"2026-11-24T09:00:00.123456789Z"}` and a newline.

    Entries that came in one read are a nanosecond apart: `logs --since` the time of one begins with that one.
    """

    def __init__(self, attributes: dict[str, str]) -> None:
        quoted = ",".join(
            f"{encode_basestring_ascii(key)}:{encode_basestring_ascii(value)}"
            for key, value in sorted(attributes.items())
        )
        self._attributes = f'"attrs":{{{quoted}}},' if quoted else ""

    def encode(self, stream: str, entries: list[bytes], whole: bool, time_ns: int) -> bytes:
        """`entries` as `Lines.feed` gives them."""
        if whole and b"\\" not in (block := b"\n".join(entries)):
            # One call for all of them: without a backslash in the text, each \n in the result is a newline.
            texts = encode_basestring_ascii(block.decode(errors="replace"))[1:-1].split("\\n")
            newline = "\\n"
        else:
            ending = b"\n" if whole else b""
            texts = [
                encode_basestring_ascii((entry + ending).decode(errors="replace"))[1:-1] for entry in entries
            ]
            newline = ""
        microseconds = time_ns // 1000
        out: list[str] = []
        for at in range(0, len(texts), 1000):
            seconds, fraction = divmod(microseconds + at // 1000, 1_000_000)
            stamp = f"{rfc3339(seconds * 1_000_000_000)[:-1]}.{fraction:06d}"
            tail = f'{newline}","stream":"{stream}",{self._attributes}"time":"{stamp}'
            out += [
                f'{{"log":"{text}{tail}{nanoseconds}Z"}}\n'
                for text, nanoseconds in zip(texts[at : at + 1000], _THREE_DIGITS, strict=False)
            ]
        return "".join(out).encode()

    @staticmethod
    def boundary(data: bytes, start: int, wanted: int) -> int:
        """Where the entry that reaches `start + wanted` bytes ends."""
        return data.index(b"\n", start + max(wanted - 1, 0)) + 1


class LocalLines:
    """The local driver's own, smaller and quicker: LOCAL_HEAD, text, LOCAL_TAIL."""

    def encode(self, stream: str, entries: list[bytes], whole: bool, time_ns: int) -> bytes:
        """`entries` as `Lines.feed` gives them."""
        number = STREAM_IDS[stream]
        around = LOCAL_HEAD.size + LOCAL_TAIL.size
        ending = b"\n" if whole else b""
        sizes = [len(entry) + len(ending) for entry in entries]
        out = [b""] * (3 * len(entries))
        out[::3] = map(LOCAL_HEAD.pack, sizes, repeat(number), count(time_ns))
        out[1::3] = entries
        out[2::3] = [ending + LOCAL_TAIL.pack(size + around) for size in sizes]
        return b"".join(out)

    @staticmethod
    def boundary(data: bytes, start: int, wanted: int) -> int:
        """Where the entry that reaches `start + wanted` bytes ends."""
        end = start
        while end < start + wanted or end == start:
            size: int = LOCAL_HEAD.unpack_from(data, end)[0]
            end += LOCAL_HEAD.size + size + LOCAL_TAIL.size
        return end
