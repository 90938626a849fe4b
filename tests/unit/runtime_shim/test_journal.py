"""What goes to the journal's socket, datagram by datagram."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostagent.runtime import journal
from hostagent.runtime.journal import JournalSink


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    path = str(tmp_path / "socket")
    monkeypatch.setattr(journal, "SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(path)
        listening.setblocking(False)
        yield listening


def fields(message: bytes) -> dict[str, bytes]:
    """The native protocol, read by other means than it is written with."""
    found: dict[str, bytes] = {}
    while message:
        line, _, rest = message.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if equals:
            found[name.decode()], message = value, rest
        else:
            (size,) = struct.unpack("<Q", rest[:8])
            found[line.decode()], message = rest[8 : 8 + size], rest[8 + size + 1 :]
    return found


def test_lines_and_pieces(server: socket.socket) -> None:
    sink = JournalSink({"CONTAINER_NAME": "box", "LABEL": "two\nlines"})
    sink.put("stderr", [b"a=b"], True, 1_000_000_005)
    first = fields(server.recv(65536))
    assert first["MESSAGE"] == b"a=b"
    assert first["PRIORITY"] == b"3"
    assert first["LABEL"] == b"two\nlines"
    assert first["SYSLOG_TIMESTAMP"] == b"1970-01-01T00:00:01.000000005Z"
    assert "CONTAINER_PARTIAL_ID" not in first
    sink.put("stdout", [b"x", b"y\n"], False, 0)
    pieces = [fields(server.recv(65536)) for _ in range(2)]
    assert [piece["CONTAINER_PARTIAL_ORDINAL"] for piece in pieces] == [b"1", b"2"]
    assert [piece["CONTAINER_PARTIAL_LAST"] for piece in pieces] == [b"false", b"true"]
    assert [piece["MESSAGE"] for piece in pieces] == [b"x", b"y"]
    assert [piece["CONTAINER_LOG_ORDINAL"] for piece in pieces] == [b"2", b"3"]
    sink.close()


def test_what_is_too_large_for_a_datagram_is_a_sealed_file(server: socket.socket) -> None:
    sink = JournalSink({"BIG": "y" * 4_000_000})
    sink.put("stdout", [b"text"], True, 0)
    data, ancillary, _, _ = server.recvmsg(16, socket.CMSG_SPACE(4))
    assert data == b""
    ((_, _, passed),) = ancillary
    (fd,) = struct.unpack("i", passed)
    with os.fdopen(fd, "rb") as file:
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
        file.seek(0)
        seen = fields(file.read())
    assert (seen["MESSAGE"], len(seen["BIG"])) == (b"text", 4_000_000)
    assert sink.lost == 0
    sink.close()


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SOCKET", str(tmp_path / "nowhere"))
    sink = JournalSink({})
    sink.put("stdout", [b"text"], True, 0)
    assert sink.lost == 1
    sink.close()
