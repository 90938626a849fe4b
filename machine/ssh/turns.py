"""Nothing may follow a channel's CLOSE: sshd ends the whole connection of who sends more ("nonexistent channel").

paramiko makes a message under the channel's lock and sends it without, because renewing keys would wait for itself. So
its own thread, which answers a CLOSE, or another one that closes the channel, can come between. Here whoever closes
a channel in the middle of a message leaves the CLOSE to who is sending it. Private attributes of paramiko that are
used: `Transport._channel_handler_table`, `_unlink_channel`, `_send_user_message`, `Channel._close_internal`; see
tests/unit/machine_ssh/test_turns.py.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import paramiko

_ATTRIBUTE: Final = "pymachine_turns"
_CLOSED: Final = "the channel is closed"


def keep(transport: paramiko.Transport) -> None:
    """From now on an incoming CLOSE waits for its channel's `Turns`, where there are some."""
    from paramiko.common import MSG_CHANNEL_CLOSE

    inner: Any = transport
    answer = inner._channel_handler_table[MSG_CHANNEL_CLOSE]

    def closed(channel: paramiko.Channel, message: paramiko.Message) -> None:
        turns = getattr(channel, _ATTRIBUTE, None)
        if turns is None:
            answer(channel, message)
        else:
            turns.closed_by_peer()

    inner._channel_handler_table = {**inner._channel_handler_table, MSG_CHANNEL_CLOSE: closed}


class Turns:
    """Of one channel, which one thread at a time sends on, and any thread closes."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel: Any = channel
        self._lock = threading.Lock()
        self._sending = False
        self._left = False  # a CLOSE, to who is sending
        setattr(channel, _ATTRIBUTE, self)

    def send(self, data: bytes) -> None:
        """All of it, as the peer's window allows. OSError, EOFError, SSHException when that is over."""
        at = 0
        while at < len(data):
            self._await_window()
            with self._turn():
                done = self._channel.send(data[at:] if at else data)
            if not done:
                raise OSError(_CLOSED)
            at += done

    def end(self) -> None:
        """EOF: nothing more is sent. Raises as `send`."""
        with self._turn():
            self._channel.shutdown_write()

    def close(self) -> None:
        """Both ways; whatever is sent afterwards fails. EOFError, OSError, SSHException when the connection is gone."""
        with self._lock:
            if self._sending:
                self._left = True
                return
            with self._channel.lock:
                messages = self._channel._close_internal()
        for message in messages:
            if message is not None:
                self._channel.transport._send_user_message(message)

    def closed_by_peer(self) -> None:
        """In paramiko's thread: no message of this channel comes any more."""
        with self._channel.lock:
            self._channel.transport._unlink_channel(self._channel.chanid)
        self.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._lock:
            self._sending = True
        try:
            yield
        finally:
            with self._lock:
                self._sending = False
                left, self._left = self._left, False
            if left:
                self.close()

    def _await_window(self) -> None:
        """Not within a turn: a CLOSE that comes meanwhile is answered at once."""
        channel = self._channel
        with channel.lock:
            while channel.out_window_size <= 0 and not channel.closed and not channel.eof_sent:
                channel.out_buffer_cv.wait()
