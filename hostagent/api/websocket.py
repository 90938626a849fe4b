"""The server's side of a WebSocket (RFC 6455) as bytes in, events and bytes out; no extensions.

Messages are a byte stream to us: where they begin and end does not matter, nor whether they are text.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from hostagent.errors import Invalid

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_CONTROL_LIMIT = 125  # bytes of payload of a control frame


class Opcode(IntEnum):
    """RFC 6455, 5.2."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Status(IntEnum):
    """RFC 6455, 7.4.1."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002


def accept(headers: Mapping[str, str]) -> bytes:
    """The head that answers a client's opening handshake. Raises Invalid naming what is wrong with it."""
    if (
        headers.get("upgrade", "").lower() != "websocket"
        or "upgrade" not in headers.get("connection", "").lower()
    ):
        raise Invalid("this call is for websockets: send Connection: Upgrade and Upgrade: websocket")
    if headers.get("sec-websocket-version") != "13":
        raise Invalid("Sec-WebSocket-Version must be 13")
    key = headers.get("sec-websocket-key", "")
    try:
        nonce = base64.b64decode(key, validate=True)
    except binascii.Error:
        nonce = b""
    if len(nonce) != 16:
        raise Invalid("Sec-WebSocket-Key must be 16 bytes in base64")
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}",
    ]
    if protocols := headers.get("sec-websocket-protocol"):
        lines.append(f"Sec-WebSocket-Protocol: {protocols.partition(',')[0].strip()}")
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1")


def frame(opcode: Opcode, payload: bytes) -> bytes:
    """One frame from us: whole and not masked."""
    size = len(payload)
    if size < 126:
        length = bytes((size,))
    elif size < 1 << 16:
        length = bytes((126,)) + size.to_bytes(2)
    else:
        length = bytes((127,)) + size.to_bytes(8)
    return bytes((0x80 | opcode,)) + length + payload


def close_frame(status: Status) -> bytes:
    """Says that nothing follows."""
    return frame(Opcode.CLOSE, status.to_bytes(2))


@dataclass
class Received:
    """What a piece of the stream brought: data, what to answer at once, and whether the client has closed."""

    data: bytes = b""
    replies: bytes = b""
    closed: bool = False


@dataclass
class Receiver:
    """Takes the client's frames apart; a frame's payload is passed on as it comes, however long it is."""

    _buffer: bytearray = field(default_factory=bytearray)
    _opcode: Opcode = Opcode.CONTINUATION
    _mask: bytes = b""
    _left: int = 0
    """Bytes of payload of the data frame under way that are still to come."""
    _at: int = 0
    """Where in the mask the next of them is."""
    _fragmented: bool = False
    _closed: bool = False

    def receive(self, data: bytes) -> Received:
        """Bytes from the client; after its close, or an error of its, nothing more counts."""
        self._buffer += data
        result = Received()
        pieces: list[bytes] = []
        try:
            while not self._closed:
                if self._left:
                    piece = bytes(self._buffer[: self._left])
                    del self._buffer[: len(piece)]
                    self._left -= len(piece)
                    pieces.append(self._unmask(piece))
                    if not piece:
                        break
                elif not self._frame(result):
                    break
        except ValueError:
            result.replies += close_frame(Status.PROTOCOL_ERROR)
            self._closed = True
        result.data = b"".join(pieces)
        result.closed = self._closed
        return result

    def _frame(self, result: Received) -> bool:
        """Reads the next frame's head, and a control frame as a whole; False when more bytes are needed."""
        head = self._head()
        if head is None:
            return False
        opcode, final, size, after = head
        if opcode >= Opcode.CLOSE:
            if len(self._buffer) < after + size:
                return False
            self._mask, self._at = bytes(self._buffer[after - 4 : after]), 0
            payload = self._unmask(bytes(self._buffer[after : after + size]))
            del self._buffer[: after + size]
            self._control(opcode, payload, result)
            return True
        if (opcode == Opcode.CONTINUATION) != self._fragmented:
            raise ValueError("a continuation of nothing, or another message within one")
        self._fragmented = not final
        self._mask, self._at, self._left = bytes(self._buffer[after - 4 : after]), 0, size
        del self._buffer[:after]
        return True

    def _head(self) -> tuple[Opcode, bool, int, int] | None:
        """(opcode, whether it ends its message, payload's size, head's size); None when it is not complete."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        if buffer[0] & 0x70 or not buffer[1] & 0x80:
            raise ValueError("an extension that was not agreed on, or a client that does not mask")
        opcode, final = Opcode(buffer[0] & 0x0F), bool(buffer[0] & 0x80)
        short = buffer[1] & 0x7F
        wide = {126: 2, 127: 8}.get(short, 0)
        if len(buffer) < 2 + wide + 4:
            return None
        size = int.from_bytes(buffer[2 : 2 + wide]) if wide else short
        if opcode >= Opcode.CLOSE and (not final or size > _CONTROL_LIMIT):
            raise ValueError("a control frame that is long or in parts")
        return opcode, final, size, 2 + wide + 4

    def _control(self, opcode: Opcode, payload: bytes, result: Received) -> None:
        if opcode == Opcode.CLOSE:
            result.replies += frame(Opcode.CLOSE, payload[:2])
            self._closed = True
        elif opcode == Opcode.PING:
            result.replies += frame(Opcode.PONG, payload)

    def _unmask(self, piece: bytes) -> bytes:
        """XOR with the mask, from where the last piece ended, as one big number: a loop over bytes would be slow."""
        start = self._at % 4
        self._at += len(piece)
        key = (self._mask[start:] + self._mask[:start]) * (len(piece) // 4 + 1)
        return (int.from_bytes(piece) ^ int.from_bytes(key[: len(piece)])).to_bytes(len(piece))
