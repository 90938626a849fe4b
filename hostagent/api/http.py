"""HTTP/1.1 over a stream socket: one asyncio Protocol per connection, bytes and states by h11.

It does what an engine API needs and frameworks do not: a request's connection can be taken away as a raw socket
together with what was read behind the request, and a client that has shut down its sending side is still served.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import cast

import h11

from hostagent.api.body import IncomingBody
from hostagent.api.exchange import Action, Dispatch, Exchange
from hostagent.api.message import Answer, Reply, Stream, error_reply
from hostagent.errors import EngineError, Unavailable
from hostagent.model.stream import Hijacked, Incoming

log = logging.getLogger(__name__)

HEAD_LIMIT = 1 << 18  # bytes of request line and headers; registry tokens and filters make some of them long
AHEAD_LIMIT = 1 << 14  # bytes read behind a request while it is being answered
# Bytes per read, of heads and of bodies. What is read behind the head of a request that takes the connection goes
# to a shim within one message on a SOCK_SEQPACKET socket (200 kB, JSON may make six characters of a byte).
HEAD_READ = 1 << 14
BUFFER = 1 << 18
HEAD_SECONDS = 30.0  # for a head to be complete once it has begun
IDLE_SECONDS = 300.0  # between requests
LINGER_SECONDS = 2.0  # for a client to read an error that came before the end of its body


class Connection(asyncio.BufferedProtocol):
    """One client's connection: requests one after another, each answered by a task of its own.

    `members` is the application's set of open connections, which this one enters and leaves. `buffer` is what all of
    them read into: the event loop fills it and hands it over in one go.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        common: Sequence[tuple[str, str]],
        members: set[Connection],
        buffer: memoryview,
    ) -> None:
        self._dispatch = dispatch
        self._common = list(common)
        self._members = members
        self._buffer = buffer
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._body: IncomingBody | None = None
        self._action: Action | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._ahead = bytearray()  # came behind the request that is being answered
        self._held = (
            False  # whether the body is left where it is until a handler asks for it, or for the socket
        )
        self._lent = False
        self._eof = False
        self._lost = False
        self._head_begun = False
        self._taken = False
        self._lingering = False
        self._closing = False
        self.task: asyncio.Task[None] | None = None

    # Events of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._members.add(self)
        self._limit(IDLE_SECONDS)

    def get_buffer(self, sizehint: int) -> memoryview:
        takes = self._action is not None and self._action.takes_connection
        in_body = self._body is not None and not self._body.complete
        return self._buffer if in_body and not takes else self._buffer[:HEAD_READ]

    def buffer_updated(self, nbytes: int) -> None:
        self._received(bytes(self._buffer[:nbytes]))

    def _received(self, data: bytes) -> None:
        if self._lingering:
            return
        if self._body is not None and self._body.complete:
            self._ahead += data
            if len(self._ahead) > AHEAD_LIMIT:
                self._transport.pause_reading()
            return
        if self.task is None and not self._head_begun:
            self._head_begun = True
            self._limit(HEAD_SECONDS)
        self._h11.receive_data(data)
        self._advance()

    def eof_received(self) -> bool:
        self._eof = True
        if self.task is None:
            return False
        if self._body is not None and not self._body.complete:
            self._h11.receive_data(b"")
            self._advance()
        # Half-closed or gone cannot be told apart from here. As in Docker a stream nobody may be reading ends;
        # every other request is answered.
        if self._action is not None and self._action.abandoned_with_client:
            self.task.cancel()
        return True

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._limit(None)
        self._lost = True
        self._writable.set()
        if self.task is None:
            self._members.discard(self)
        elif not self._taken:
            if self._body is not None and not self._body.complete:
                self._body.fail("the client went away before the end of its request")
            if self._action is not None and self._action.abandoned_with_client:
                self.task.cancel()

    # Reading

    def _advance(self) -> None:
        """Takes the events out of what has been received."""
        try:
            while not self._held:
                event = self._h11.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    break
                if isinstance(event, h11.Request):
                    self._begin(event)
                elif isinstance(event, h11.Data) and self._body is not None:
                    self._body.feed(bytes(event.data))
                elif isinstance(event, h11.EndOfMessage) and self._body is not None:
                    self._body.finish()
                elif isinstance(event, h11.ConnectionClosed):
                    self._transport.close()
                    break
        except h11.RemoteProtocolError as error:
            self._refuse(error)
        if self._body is None:
            return
        if self._body.full or self._held or self._to_be_taken:
            self._transport.pause_reading()

    @property
    def _to_be_taken(self) -> bool:
        """The request is complete and the rest of the stream may belong to somebody else."""
        takes = self._action is not None and self._action.takes_connection
        return takes and self._body is not None and self._body.complete

    def _begin(self, head: h11.Request) -> None:
        self._limit(None)
        self._head_begun = False
        self._body = body = IncomingBody(self._wanted, lambda: self._lend(_length(head)))
        exchange = Exchange(
            method=head.method.decode("ascii"),
            target=head.target.decode("ascii", "surrogateescape"),
            headers={name.decode("ascii"): value.decode("latin-1") for name, value in head.headers},
            body=body,
            chunked=head.http_version == b"1.1",
            take=self._take,
        )
        self._action = self._dispatch(exchange)
        self._held = self._action.lends_body and _length(head) != 0
        self.task = self._loop.create_task(self._answer(self._action, exchange.method == "HEAD"))

    def _wanted(self) -> None:
        """A handler waits for the body."""
        self._continue()
        if self._held:
            self._held = False
            self._advance()
        if not self._to_be_taken:
            self._resume()

    def _continue(self) -> None:
        if self._h11.they_are_waiting_for_100_continue and not self._lost:
            self._transport.write(
                self._h11.send(h11.InformationalResponse(status_code=100, headers=[])) or b""
            )

    def _lend(self, length: int) -> Incoming:
        """The rest of the request to somebody else: nothing is read here before the body says that it is over."""
        if not length:
            return Incoming(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), b"", 0)
        if not self._held or self._lost:
            raise Unavailable("the client went away")
        self._continue()
        self._held, self._lent = False, True
        fd = os.dup(self._transport.get_extra_info("socket").fileno())
        return Incoming(fd, self._h11.trailing_data[0], length)

    def _resume(self) -> None:
        # After EOF asyncio has dropped its reader; resuming would bring it back to report EOF again.
        if not self._eof and not self._lost:
            self._transport.resume_reading()

    def _refuse(self, error: h11.RemoteProtocolError) -> None:
        """The client does not speak HTTP (or ended within a body): say so if nothing has been said yet."""
        if self.task is not None:
            if self._body is not None:
                self._body.fail(f"the request's body is broken: {error}")
            return
        if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = error_reply(error.error_status_hint, f"bad request: {error}").body
            head = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
            self._send(
                h11.Response(status_code=error.error_status_hint, headers=[*head, ("Connection", "close")])
            )
            self._send(h11.Data(data=body))
            self._send(h11.EndOfMessage())
        self._linger()

    # Answering

    async def _answer(self, action: Action, head_only: bool) -> None:
        try:
            answer = await _guarded(action.run)
            if self._taken or self._lost:
                if isinstance(answer, Stream):
                    await _close(answer)
                return
            if isinstance(answer, Stream):
                await self._send_stream(answer)
            else:
                reply = answer or error_reply(500, "the connection was to be taken over, but was not: a bug")
                self._send_reply(reply, head_only)
                await self._writable.wait()
        except asyncio.CancelledError:
            if not self._taken:
                self._transport.abort()
            raise
        except Exception:
            log.exception("no answer could be written")
            self._transport.abort()
            return
        finally:
            self.task = None
            if self._lost or self._taken:
                self._members.discard(self)
        self._next()

    async def _send_stream(self, stream: Stream) -> None:
        iterator = aiter(stream.chunks)
        try:
            first = b"" if stream.head_first else await anext(iterator, b"")
        except Exception as error:
            self._send_reply(_as_reply(error), False)
            return
        try:
            self._send(h11.Response(status_code=200, headers=self._head(stream.content_type, stream.headers)))
            piece = first
            while True:
                if piece:
                    self._send(h11.Data(data=piece))
                    await self._writable.wait()
                if self._lost:
                    return
                try:
                    piece = await anext(iterator)
                except StopAsyncIteration:
                    break
            self._send(h11.EndOfMessage())
        except Exception:
            # The head says 200 already: a cut connection is the only way to say that the body is not whole.
            log.exception("stream cut")
            self._transport.abort()
        finally:
            await _close(stream)

    def _send_reply(self, reply: Reply, head_only: bool) -> None:
        headers = self._head(reply.content_type if reply.body else None, reply.headers)
        if reply.status not in (204, 304):
            headers.append(("Content-Length", str(len(reply.body))))
        data = self._h11.send(h11.Response(status_code=reply.status, headers=headers)) or b""
        if reply.body and not head_only:
            data += self._h11.send(h11.Data(data=reply.body)) or b""
        data += self._h11.send(h11.EndOfMessage()) or b""
        if not self._lost:
            self._transport.write(data)

    def _head(self, content_type: str | None, more: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        headers = [*self._common, *more]
        if content_type is not None:
            headers.append(("Content-Type", content_type))
        if self._closing or self._eof or self._lent or self._body is None or not self._body.complete:
            headers.append(("Connection", "close"))
        return headers

    def _send(self, event: h11.Event) -> None:
        data = self._h11.send(event)
        if data and not self._lost:
            self._transport.write(data)

    def _next(self) -> None:
        """After an answer: the next request, or the end."""
        if self._taken or self._lost:
            return
        if self._body is not None and not self._body.complete:
            self._linger()
        elif self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE and not self._eof:
            self._h11.start_next_cycle()
            self._body = self._action = None
            self._limit(IDLE_SECONDS)
            ahead, self._ahead = bytes(self._ahead), bytearray()
            self._resume()
            if ahead:
                self._received(ahead)
            else:
                self._advance()
        else:
            self._transport.close()

    def _linger(self) -> None:
        """Closes so that the answer arrives: a close with unread bytes could destroy it on its way."""
        self._lingering = True
        self._limit(None)
        if self._eof or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        self._resume()
        self._timer = self._loop.call_later(LINGER_SECONDS, self._transport.abort)

    # Taking the connection away

    async def _take(self, head: bytes) -> Hijacked:
        body = self._body
        if self._taken or body is None or self._h11.our_state is not h11.SEND_RESPONSE:
            raise RuntimeError("a connection can be taken once, before its answer")
        async for _ in body.chunks():
            pass
        self._transport.pause_reading()
        if self._lost:
            raise Unavailable("the client went away")
        early = self._h11.trailing_data[0] + bytes(self._ahead)
        # With a limit of 0 the transport reports anything that the socket did not take at once.
        self._transport.set_write_buffer_limits(high=0)
        self._transport.write(head)
        await self._writable.wait()
        if self._lost:
            raise Unavailable("the client went away")
        fd = os.dup(self._transport.get_extra_info("socket").fileno())
        self._taken = True
        # Closes the transport's own descriptor without shutdown(): the stream lives on in ours.
        self._transport.abort()
        return Hijacked(fd, early)

    # The end

    def close(self) -> None:
        """Asks for the end: idle connections and endless streams at once, others after their answer."""
        self._closing = True
        if self.task is None:
            self._transport.close()
        elif self._taken or (self._action is not None and self._action.abandoned_with_client):
            self.task.cancel()

    def _limit(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self._loop.call_later(seconds, self._transport.close)


def _length(head: h11.Request) -> int:
    """Of its body in bytes; -1 for one in chunks."""
    headers = dict(head.headers)
    return -1 if b"transfer-encoding" in headers else int(headers.get(b"content-length", b"0"))


async def _close(stream: Stream) -> None:
    """Lets the source of a stream clean up now, not when it is garbage."""
    if isinstance(stream.chunks, AsyncGenerator):
        await stream.chunks.aclose()


async def _guarded(run: Callable[[], Awaitable[Answer]]) -> Answer:
    try:
        return await run()
    except Exception as error:
        return _as_reply(error)


def _as_reply(error: Exception) -> Reply:
    if isinstance(error, EngineError):
        return error_reply(error.status, str(error))
    log.error("unexpected error", exc_info=error)
    return error_reply(500, f"internal error: {type(error).__name__}: {error}")
