"""The container's log in Docker's json-file form, written by the shim alone.

One JSON object a line: `{"log": "text\\n", "stream": "stdout", "time": "2026-11-24T09:00:00.123456789Z"}`. A line
longer than 16 KiB is split, as Docker's copier does; a line without its newline waits in memory until the newline, the
16 KiB or the end of the stream, whichever comes first.
"""

from __future__ import annotations

import os
import time
from json.encoder import encode_basestring_ascii

LINE_MAX = 16 * 1024
_THREE_DIGITS = tuple(f"{number:03d}" for number in range(1000))


def rfc3339(time_ns: int) -> str:
    """UTC with nanoseconds, trailing zeros dropped, as Go's RFC3339Nano prints it."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    head = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return f"{head}{fraction}Z"


class JsonLog:
    """Appends to `path`. A full disk loses log lines, never the container: `lost` counts their bytes."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._partial: dict[str, bytes] = {}
        self.lost = 0

    def write(self, stream: str, data: bytes) -> None:
        """What `stream` ("stdout" or "stderr") just said; complete lines are in the file when this returns."""
        if partial := self._partial.pop(stream, b""):
            data = partial + data
        pieces: list[bytes] = []
        lines = data.split(b"\n")
        rest = lines.pop()
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
        if pieces:
            self._append(_entries(pieces, stream, time.time_ns()))

    def end(self, stream: str) -> None:
        """The stream is over: its last line may lack a newline."""
        if partial := self._partial.pop(stream, b""):
            self._append(_entries([partial], stream, time.time_ns()))

    def _append(self, data: bytes) -> None:
        try:
            written = os.write(self._fd, data)
            if written < len(data):  # a short write on a regular file means that the disk just filled up
                os.write(self._fd, data[written:])
        except OSError:
            self.lost += len(data)

    def close(self) -> None:
        os.close(self._fd)


def _entries(pieces: list[bytes], stream: str, time_ns: int) -> bytes:
    """Lines that came in one read are a nanosecond apart: `logs --since` the time of one begins with that one."""
    microseconds = time_ns // 1000
    out: list[str] = []
    for at in range(0, len(pieces), 1000):
        seconds, fraction = divmod(microseconds + at // 1000, 1_000_000)
        tail = f',"stream":"{stream}","time":"{rfc3339(seconds * 1_000_000_000)[:-1]}.{fraction:06d}'
        out += [
            f'{{"log":{encode_basestring_ascii(piece.decode(errors="replace"))}{tail}{nanoseconds}Z"}}\n'
            for piece, nanoseconds in zip(pieces[at : at + 1000], _THREE_DIGITS, strict=False)
        ]
    return "".join(out).encode()
