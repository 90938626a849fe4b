"""A request's body read from the socket: chunks of any size cut anywhere, and clients that break off."""

from __future__ import annotations

import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.errors import Invalid
from hostagent.image.incoming import BodyReader


def _read(sent: list[bytes], length: int, early: bytes = b"") -> bytes:
    """What a reader makes of pieces that come one by one, after which the client shuts down its side."""
    ours, theirs = socket.socketpair()

    def send() -> None:
        for piece in sent:
            theirs.sendall(piece)
        theirs.close()

    with ours:
        ours.setblocking(False)
        thread = threading.Thread(target=send)
        thread.start()
        reader, found = BodyReader(ours.fileno(), early, length), []
        try:
            while piece := reader.piece():
                found.append(piece)
        finally:
            thread.join()
    return b"".join(found)


def _chunked(pieces: list[bytes]) -> bytes:
    return b"".join(b"%x;x=y\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nA: b\r\n\r\n"


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(1, 9), st.integers(0, 30))
def test_chunks_may_be_cut_anywhere(pieces: list[bytes], step: int, early: int) -> None:
    raw = _chunked(pieces)
    rest = raw[early:]
    cut = [rest[at : at + step] for at in range(0, len(rest), step)]
    assert _read(cut, -1, raw[:early]) == b"".join(pieces)


def test_a_body_of_known_length_ends_there() -> None:
    assert _read([b"cde", b"fgh the next request"], 8, b"ab") == b"abcdefgh"
    assert _read([b"the next request"], 2, b"abGET /") == b"ab"
    assert _read([], 0) == b""


@pytest.mark.parametrize(
    "sent", [b"", b"5\r\nab", b"2\r\nab\r\n", b"2\r\nab\r\n0\r\n", b"2\r\nab\r\n0\r\nA: b\r\n"]
)
def test_a_client_that_breaks_off_is_told_from_one_that_ends(sent: bytes) -> None:
    with pytest.raises(Invalid, match="went away"):
        _read([sent], -1)
    with pytest.raises(Invalid, match="went away"):
        _read([sent], 100)


@pytest.mark.parametrize(
    "sent", [b"x\r\n", b"-1\r\n", b"\r\n", b"1\r\nab\r\n", b"1" * 17 + b"\r\n", b"1" * 5000]
)
def test_what_is_no_chunk_is_refused(sent: bytes) -> None:
    with pytest.raises(Invalid, match="broken"):
        _read([sent], -1)
