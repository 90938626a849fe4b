"""Frames of websockets: taken apart wherever the stream is cut, and refused when they break RFC 6455."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.api.websocket import Opcode, Receiver, accept, close_frame, frame
from hostagent.errors import Invalid

MASK = b"\x01\x02\x03\x04"
HANDSHAKE = {
    "upgrade": "websocket",
    "connection": "keep-alive, Upgrade",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def masked(opcode: Opcode, payload: bytes, final: bool = True) -> bytes:
    """A client's frame."""
    plain = frame(opcode, payload)
    head = len(plain) - len(payload)
    body = bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))
    return bytes((plain[0] if final else plain[0] & 0x7F, plain[1] | 0x80)) + plain[2:head] + MASK + body


def fed(stream: bytes, cuts: list[int]) -> tuple[bytes, bytes, bool]:
    """All data, all replies, and whether it has closed, of a stream that comes in pieces."""
    receiver, data, replies, closed, start = Receiver(), b"", b"", False, 0
    for end in [*sorted({cut % (len(stream) + 1) for cut in cuts}), len(stream)]:
        received = receiver.receive(stream[start:end])
        data, replies, closed = data + received.data, replies + received.replies, received.closed
        start = end
    return data, replies, closed


def test_the_sample_handshake_of_the_rfc() -> None:
    head = accept(HANDSHAKE | {"sec-websocket-protocol": "chat, superchat"})
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    assert head.startswith(b"HTTP/1.1 101 ")
    assert head.endswith(b"Sec-WebSocket-Protocol: chat\r\n\r\n")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("upgrade", "tcp"),
        ("connection", "close"),
        ("sec-websocket-version", "8"),
        ("sec-websocket-key", "!"),
        ("sec-websocket-key", "c2hvcnQ="),
    ],
)
def test_handshakes_that_are_none(header: str, value: str) -> None:
    with pytest.raises(Invalid):
        accept(HANDSHAKE | {header: value})


@given(
    st.lists(st.tuples(st.sampled_from((Opcode.TEXT, Opcode.BINARY, Opcode.PING)), st.binary(max_size=300))),
    st.lists(st.integers(0, 5000), max_size=8),
)
def test_any_stream_cut_anywhere(messages: list[tuple[Opcode, bytes]], cuts: list[int]) -> None:
    messages = [(opcode, payload[:125] if opcode is Opcode.PING else payload) for opcode, payload in messages]
    stream = b"".join(masked(opcode, payload) for opcode, payload in messages)
    data, replies, closed = fed(stream, cuts)
    assert data == b"".join(payload for opcode, payload in messages if opcode is not Opcode.PING)
    assert replies == b"".join(
        frame(Opcode.PONG, payload) for opcode, payload in messages if opcode is Opcode.PING
    )
    assert not closed


@pytest.mark.parametrize("size", [125, 126, 65535, 65536, 200_000])
def test_lengths(size: int) -> None:
    assert fed(masked(Opcode.BINARY, b"x" * size), [3, 7, 1000])[0] == b"x" * size


def test_a_message_in_parts_with_a_ping_between() -> None:
    stream = masked(Opcode.TEXT, b"a", final=False) + masked(Opcode.PING, b"p")
    stream += masked(Opcode.CONTINUATION, b"b", final=False) + masked(Opcode.CONTINUATION, b"c")
    assert fed(stream, []) == (b"abc", frame(Opcode.PONG, b"p"), False)


def test_nothing_counts_after_a_close() -> None:
    closing = masked(Opcode.CLOSE, b"\x03\xe8bye")
    assert fed(masked(Opcode.TEXT, b"a") + closing + masked(Opcode.TEXT, b"b"), [9]) == (
        b"a",
        frame(Opcode.CLOSE, b"\x03\xe8"),
        True,
    )


@pytest.mark.parametrize(
    "stream",
    [
        frame(Opcode.TEXT, b"not masked"),
        b"\xf1\x80" + MASK,  # a bit of an extension
        b"\x83\x80" + MASK,  # no such opcode
        masked(Opcode.CONTINUATION, b"of nothing"),
        masked(Opcode.TEXT, b"a", final=False) + masked(Opcode.TEXT, b"b"),
        masked(Opcode.PING, b"p", final=False),
        b"\x89\xfe\x00\x7e" + MASK,  # a ping of 126 bytes
    ],
)
def test_broken_frames_end_the_stream(stream: bytes) -> None:
    _, replies, closed = fed(stream, [])
    assert closed
    assert replies.endswith(close_frame(1002))  # type: ignore[arg-type]  # the number that the RFC has
