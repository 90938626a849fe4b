"""Channels to a unix socket or a port on the far side.

paramiko cannot open `direct-streamlocal@openssh.com` (OpenSSH's PROTOCOL file, section 2.4), and it opens
channels only by blocking. The request is written here instead. It uses private attributes of
paramiko.Transport (`_next_channel`, `_channels`, `_send_user_message`); tests/unit/machine_ssh runs every
one of them against a real sshd, so a paramiko that moved them fails there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from machine.errors import Unavailable

if TYPE_CHECKING:
    import paramiko


class _Settled(threading.Event):
    """What paramiko sets once the peer has answered; tells the caller too, once."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell
        self._told = threading.Lock()

    def set(self) -> None:
        super().set()
        if self._told.acquire(blocking=False):
            self._tell()


def begin_streamlocal(
    transport: paramiko.Transport,
    path: str,
    settled: Callable[[], None],
    attach: Callable[[paramiko.Channel], None] | None = None,
) -> paramiko.Channel:
    """Asks for a channel to the unix socket `path` and does not wait.

    `settled` is called in any thread when the peer has answered or the connection is gone: the channel is
    open if its `active` is true. `attach` may change the channel before its first byte can arrive.
    """

    def target(message: paramiko.Message) -> None:
        message.add_string(path)
        message.add_string("")  # reserved
        message.add_int(0)  # reserved

    return _begin(transport, "direct-streamlocal@openssh.com", target, settled, attach)


def begin_tcp(
    transport: paramiko.Transport,
    address: tuple[str, int],
    settled: Callable[[], None],
    attach: Callable[[paramiko.Channel], None] | None = None,
) -> paramiko.Channel:
    """Like `begin_streamlocal`, to `address` as seen from the host (RFC 4254 section 7.2)."""

    def target(message: paramiko.Message) -> None:
        message.add_string(address[0])
        message.add_int(address[1])
        message.add_string("127.0.0.1")  # the originator, for the host's log
        message.add_int(0)

    return _begin(transport, "direct-tcpip", target, settled, attach)


def open_streamlocal(transport: paramiko.Transport, path: str, timeout: float = 15.0) -> paramiko.Channel:
    """A channel to the unix socket `path` on the host; Unavailable: refused, or no answer in `timeout` s."""
    answered = threading.Event()
    channel = begin_streamlocal(transport, path, answered.set)
    if not answered.wait(timeout):
        channel.close()
        raise Unavailable(f"the host did not answer within {timeout:g} s when asked for {path}")
    if not channel.active:
        raise Unavailable(f"the host refused to connect to {path}: is the service behind it running?")
    return channel


def _begin(
    transport: paramiko.Transport,
    kind: str,
    target: Callable[[paramiko.Message], None],
    settled: Callable[[], None],
    attach: Callable[[paramiko.Channel], None] | None,
) -> paramiko.Channel:
    from paramiko.channel import Channel
    from paramiko.common import cMSG_CHANNEL_OPEN
    from paramiko.message import Message

    inner: Any = transport  # the private attributes named above are not in its type information
    event = _Settled(settled)
    with transport.lock:
        window = inner.default_window_size
        packet = inner.default_max_packet_size
        number = inner._next_channel()
        channel: Any = Channel(number)
        channel._set_transport(transport)
        channel._set_window(window, packet)
        if attach is not None:
            attach(channel)
        inner._channels.put(number, channel)
        inner.channel_events[number] = event
        inner.channels_seen[number] = True
    message = Message()
    message.add_byte(cMSG_CHANNEL_OPEN)
    message.add_string(kind)
    message.add_int(number)
    message.add_int(window)
    message.add_int(packet)
    target(message)
    try:
        inner._send_user_message(message)
    except (EOFError, OSError):
        pass  # as below: the connection has just died
    if not transport.is_active() and not event.is_set():
        # It died before it knew of this channel: nobody else will say so.
        event.set()
    made: paramiko.Channel = channel
    return made


def settle_all(transport: paramiko.Transport) -> None:
    """Tells everyone who waits for a channel of a closed transport; paramiko forgets them when *we* close it."""
    inner: Any = transport
    for event in list(inner.channel_events.values()):
        event.set()


def grant(channel: paramiko.Channel, size: int) -> None:
    """Tells the peer that it may send `size` more bytes (RFC 4254 section 5.2)."""
    from paramiko.common import cMSG_CHANNEL_WINDOW_ADJUST
    from paramiko.message import Message

    message = Message()
    message.add_byte(cMSG_CHANNEL_WINDOW_ADJUST)
    message.add_int(channel.remote_chanid)
    message.add_int(size)
    inner: Any = channel.transport
    inner._send_user_message(message)


def probe(transport: paramiko.Transport) -> None:
    """Asks for an answer, any answer, and does not wait: OpenSSH refuses this request, which proves that it lives.

    Not while `Transport.global_request` waits for its own answer: answers carry no number.
    """
    from paramiko.common import cMSG_GLOBAL_REQUEST
    from paramiko.message import Message

    message = Message()
    message.add_byte(cMSG_GLOBAL_REQUEST)
    message.add_string("keepalive@openssh.com")
    message.add_boolean(True)
    inner: Any = transport
    inner._send_user_message(message)
