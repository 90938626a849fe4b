"""Messages and the CLOSE of one channel from two threads, with a real sshd: it ends the connection of who errs."""

from __future__ import annotations

import hashlib
import threading
import time
from typing import Any

import pytest
from paramiko.common import cMSG_CHANNEL_DATA, cMSG_CHANNEL_EOF

from machine.ssh.connection import Connection

SECONDS = 0.3


@pytest.fixture
def slow(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """Whoever has made data or an EOF is held before it sends it; paramiko's own thread never is."""
    transport: Any = connection.transport
    send = transport._send_user_message

    def held(message: Any) -> None:
        kinds = (cMSG_CHANNEL_DATA, cMSG_CHANNEL_EOF)
        if message.asbytes()[:1] in kinds and threading.current_thread() is not transport:
            time.sleep(SECONDS)
        send(message)

    monkeypatch.setattr(transport, "_send_user_message", held)
    return connection


def test_the_peer_closes_while_an_eof_is_on_its_way(slow: Connection) -> None:
    """`:` ends at once; its stdin is closed a moment later."""
    for _ in range(3):
        assert slow.run(":").status == 0
        time.sleep(2 * SECONDS)  # the thread that feeds stdin has its say
        assert slow.alive
    assert slow.run("echo still here").text == "still here"


def test_a_command_that_does_not_read_what_it_gets(slow: Connection) -> None:
    assert slow.run("exit 3", stdin=b"x" * 200_000, check=False).status == 3
    time.sleep(4 * SECONDS)
    assert slow.run("echo still here").text == "still here"


def test_what_is_larger_than_the_window_arrives(connection: Connection) -> None:
    data = bytes(range(256)) * 40_000  # 10 MB; a window has 2 MB
    digest = hashlib.sha256(data).hexdigest()
    assert connection.run("sha256sum", stdin=data, timeout=30).text.split()[0] == digest


def test_a_full_window_and_a_command_that_ends(connection: Connection) -> None:
    """Who waits for more window hears of the end."""
    before = threading.active_count()
    assert connection.run("sleep 0.3", stdin=b"x" * 10_000_000, timeout=30).status == 0
    end = time.monotonic() + 5
    while threading.active_count() > before:
        assert time.monotonic() < end
        time.sleep(0.01)
