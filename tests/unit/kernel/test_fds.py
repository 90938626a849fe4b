"""Messages with fds, and fds in bulk."""

from __future__ import annotations

import os

import pytest

from hostagent.kernel import fds


def test_messages_keep_their_borders_and_carry_fds() -> None:
    ours, theirs = fds.channel_pair()
    reader, writer = os.pipe()
    with ours, theirs:
        fds.send_message(ours, b"one", (reader, writer))
        fds.send_message(ours, b"two")
        data, (received_reader, received_writer) = fds.recv_message(theirs)
        assert data == b"one"
        assert fds.recv_message(theirs) == (b"two", [])
        os.write(received_writer, b"through")
        assert os.read(reader, 10) == b"through"
        assert not os.get_inheritable(received_reader)
        ours.close()
        assert fds.recv_message(theirs) == (b"", [])
    for fd in (reader, writer, received_reader, received_writer):
        os.close(fd)


def test_a_cut_message_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = fds.channel_pair()
    monkeypatch.setattr(fds, "MAX_MESSAGE", 10)
    before = len(os.listdir("/proc/self/fd"))
    with ours, theirs:
        fds.send_message(ours, bytes(11), (0, 1))
        with pytest.raises(OSError, match="cut off"):
            fds.recv_message(theirs)
        assert len(os.listdir("/proc/self/fd")) == before, "fds that came with it are not kept"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 1)])
def test_stdio_in_any_order(order: tuple[int, int, int]) -> None:
    """In a child, whose 0, 1 and 2 are three pipes: each byte comes out where the order says."""
    pipes = [os.pipe() for _ in range(3)]
    pid = os.fork()
    if pid == 0:
        try:
            for number, (_, writer) in enumerate(pipes):
                os.dup2(writer, number)
            fds.install_stdio(*order)
            fds.close_all_except((0, 1, 2))
            for number in range(3):
                os.write(number, b"%d" % number)
            os._exit(0)
        finally:
            os._exit(1)
    for _, writer in pipes:
        os.close(writer)
    assert os.waitpid(pid, 0)[1] == 0
    found = [os.read(reader, 10) for reader, _ in pipes]
    for reader, _ in pipes:
        os.close(reader)
    expected = [b"", b"", b""]
    for number, place in enumerate(order):
        expected[place] += b"%d" % number
    assert found == expected
