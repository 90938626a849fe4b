"""systemd's journal as a log: one datagram an entry, in the journal's native protocol.

Source: systemd.io/JOURNAL_NATIVE_PROTOCOL; the fields are those of Docker's journald driver.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Mapping

from hostagent.runtime.loglines import rfc3339

SOCKET = "/run/systemd/journal/socket"
PRIORITIES = {"stdout": b"6", "stderr": b"3"}
SEND_SECONDS = 2
"""A journal that does not read for so long loses the line: the shim has other things to do."""
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class JournalSink:
    """`fields` stand in every message; `lost` counts messages that the journal did not take."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = b"".join(_field(key, value.encode()) for key, value in sorted(fields.items()))
        self._epoch = _random_id()
        self._ordinal = 0
        self._partials: dict[str, tuple[str, int]] = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0))
        self.lost = 0

    def put(self, stream: str, entries: list[bytes], whole: bool, time_ns: int) -> None:
        """One message an entry."""
        for at, entry in enumerate(entries, time_ns):
            last = whole or entry.endswith(b"\n")
            self._ordinal += 1
            self._send(
                _field("MESSAGE", entry.removesuffix(b"\n"))
                + _field("PRIORITY", PRIORITIES[stream])
                + self._fields
                + _field("CONTAINER_LOG_EPOCH", self._epoch.encode())
                + _field("CONTAINER_LOG_ORDINAL", b"%d" % self._ordinal)
                + _field("SYSLOG_TIMESTAMP", rfc3339(at).encode())
                + self._partial(stream, last)
            )

    def _partial(self, stream: str, last: bool) -> bytes:
        """Which piece of a long line this is; nothing for a line that is whole."""
        known = self._partials.pop(stream, None)
        if known is None and last:
            return b""
        name, number = known or (_random_id(), 1)
        out = _field("CONTAINER_PARTIAL_ID", name.encode())
        out += _field("CONTAINER_PARTIAL_ORDINAL", b"%d" % number)
        out += _field("CONTAINER_PARTIAL_LAST", b"true" if last else b"false")
        if last:
            return out
        self._partials[stream] = (name, number + 1)
        return out + _field("CONTAINER_PARTIAL_MESSAGE", b"true")

    def _send(self, message: bytes) -> None:
        try:
            try:
                self._socket.sendto(message, SOCKET)
            except OSError as error:
                if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                    raise
                self._send_by_file(message)
        except OSError:  # nobody there, or nobody who reads
            self.lost += 1

    def _send_by_file(self, message: bytes) -> None:
        """What is too large for a datagram: a sealed memory file in an empty one."""
        fd = os.memfd_create("journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            while message:
                message = message[os.write(fd, message) :]
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))]
            self._socket.sendmsg([], passed, 0, SOCKET)
        finally:
            os.close(fd)

    def close(self) -> None:
        self._socket.close()


def _field(name: str, value: bytes) -> bytes:
    """`NAME=value`, or with its length when it has a newline in it."""
    if b"\n" in value:
        return b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(value)), value)
    return b"%s=%s\n" % (name.encode(), value)


def _random_id() -> str:
    return os.urandom(32).hex()
