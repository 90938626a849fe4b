"""What crosses the border between the API and the engine when bytes stream: hijacked sockets, options.

A hijacked connection is an HTTP connection that has become a raw byte stream (attach, exec). The API hands
the engine a descriptor of its own and forgets the connection; the engine passes it on to the shim
(SCM_RIGHTS).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Hijacked:
    """The client's stream after the 101 or 200 head has been flushed.

    `fd` is a dup of the client's socket, non-blocking, close-on-exec; whoever receives it owns it. `early` is
    what the client had sent behind its request and we had read with it: the first bytes of stdin. The client
    may already have shut down its sending side; then the fd reads EOF after `early`.
    """

    fd: int
    early: bytes


@dataclass(frozen=True)
class Incoming:
    """The body of a request as it still is in the client's socket: for a process that reads it without the daemon.

    `fd` is a dup of the socket, non-blocking; whoever receives it owns it. `early` is what was read behind the head.
    `length` is the body's in bytes, -1 when it comes in chunks (RFC 9112, 7.1).
    """

    fd: int
    early: bytes
    length: int


Upgrade = Callable[[bool], Awaitable[Hijacked]]
"""Answers the request and takes its connection; the argument says if the stream will be multiplexed (8-byte
frames) or raw. To be called once; before it is called, an error becomes an HTTP error as usual."""


@dataclass(frozen=True)
class LogOptions:
    """Query of GET /containers/{id}/logs. Times in ns since 1970, 0 = no limit; `tail` in lines, -1 = all."""

    stdout: bool = False
    stderr: bool = False
    follow: bool = False
    since: int = 0
    until: int = 0
    tail: int = -1
    timestamps: bool = False
    details: bool = False


@dataclass(frozen=True)
class AttachOptions:
    """Query of POST /containers/{id}/attach. `detach_keys` in Docker's notation, "" = ctrl-p,ctrl-q.

    Without a TTY stdout and stderr come in 8-byte frames unless the client cannot have them (`framed`).
    """

    stream: bool = False
    logs: bool = False
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    detach_keys: str = ""
    framed: bool = True
