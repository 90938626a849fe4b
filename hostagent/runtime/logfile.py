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
        out: list[str] = []
        tail = f',"stream":"{stream}","time":"{rfc3339(time.time_ns())}"}}\n'
        lines = data.split(b"\n")
        rest = lines.pop()
        for line in lines:
            while len(line) >= LINE_MAX:
                out.append(self._entry(line[:LINE_MAX], tail))
                line = line[LINE_MAX:]
            out.append(self._entry(line + b"\n", tail))
        while len(rest) >= LINE_MAX:
            out.append(self._entry(rest[:LINE_MAX], tail))
            rest = rest[LINE_MAX:]
        if rest:
            self._partial[stream] = rest
        if out:
            self._append("".join(out).encode())

    def end(self, stream: str) -> None:
        """The stream is over: its last line may lack a newline."""
        if partial := self._partial.pop(stream, b""):
            tail = f',"stream":"{stream}","time":"{rfc3339(time.time_ns())}"}}\n'
            self._append(self._entry(partial, tail).encode())

    @staticmethod
    def _entry(text: bytes, tail: str) -> str:
        return f'{{"log":{encode_basestring_ascii(text.decode(errors="replace"))}{tail}'

    def _append(self, data: bytes) -> None:
        try:
            written = os.write(self._fd, data)
            if written < len(data):  # a short write on a regular file means that the disk just filled up
                os.write(self._fd, data[written:])
        except OSError:
            self.lost += len(data)

    def close(self) -> None:
        os.close(self._fd)
