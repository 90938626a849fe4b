"""Ports of one side that lead to the other: ssh -L and -R, which survive a new connection."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from machine.client.keeper.link import Link
from machine.client.keeper.pipe import Pipe, post
from machine.client.keeper.protocol import Address, Forward
from machine.errors import Conflict, MachineError, Unavailable
from machine.ssh.connection import Connection
from machine.ssh.streamlocal import begin_tcp

if TYPE_CHECKING:
    import paramiko

log = logging.getLogger("keeper")

NewPipe = Callable[[], Pipe]


class LocalForward:
    """Listens on the laptop; each connection becomes a channel to `target`, as seen from the host."""

    def __init__(self, loop: asyncio.AbstractEventLoop, link: Link, new_pipe: NewPipe) -> None:
        self._loop = loop
        self._link = link
        self._new_pipe = new_pipe
        self._listener: socket.socket | None = None
        self.target: Address = ("", 0)

    def open(self, listen: Address, target: Address) -> Address:
        """Starts to listen, and says where (port 0: any). Raises Conflict: the port is taken here."""
        self.target = target
        try:
            family = socket.AF_INET6 if ":" in listen[0] else socket.AF_INET
            listener = socket.create_server(listen, family=family, backlog=128)
        except OSError as error:
            raise Conflict(
                f"cannot listen on {listen[0]}:{listen[1]} here ({error.strerror}): choose another port"
            ) from error
        listener.setblocking(False)
        self._listener = listener
        self._loop.add_reader(listener, self._accept, listener)
        host, port = listener.getsockname()[:2]
        return (host, port)

    def close(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError:
            return  # it was gone before we came
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._link.want(lambda got: self._start(sock, got))

    def _start(self, sock: socket.socket, got: Connection | MachineError) -> None:
        if isinstance(got, MachineError):
            sock.close()
            return
        pipe = self._new_pipe()

        def settled() -> None:
            if channel.active:
                pipe.connect(sock)
                return
            pipe.close()
            if got.alive:
                log.info("the host refused a connection to %s:%d", *self.target)
                sock.close()
            else:
                # It died under us; the next one will do.
                self._link.want(lambda again: self._start(sock, again))

        channel = begin_tcp(
            got.transport,
            self.target,
            lambda: post(self._loop, settled),
            pipe.attach,
        )


class ReverseForwards:
    """Ports that sshd listens on for us; each connection there becomes one to `target` here on the laptop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, link: Link, new_pipe: NewPipe) -> None:
        self._loop = loop
        self._link = link
        self._new_pipe = new_pipe
        self._targets: dict[Address, Address] = {}
        self._dialing: set[asyncio.Task[None]] = set()

    def request(self, connection: Connection, listen: Address, target: Address) -> Address:
        """Blocks (not for the loop's thread). Raises Conflict when sshd does not listen there for us."""
        import paramiko

        self._targets[listen] = target
        try:
            with self._link.global_request:
                port = connection.transport.request_port_forward(*listen, handler=self._arrived)
        except paramiko.SSHException as error:
            self._targets.pop(listen, None)
            if not connection.alive:
                raise Unavailable(f"the connection to {connection.machine.name} broke") from error
            raise Conflict(
                f"{connection.machine.name} does not listen on {listen[0]}:{listen[1]} for us: the port is taken "
                f"there, or its sshd has AllowTcpForwarding off"
            ) from error
        if port != listen[1]:
            self._targets[(listen[0], port)] = self._targets.pop(listen)
        return (listen[0], port)

    def cancel(self, connection: Connection | None, listen: Address) -> None:
        """Blocks (not for the loop's thread)."""
        self._targets.pop(listen, None)
        if connection is not None:
            with self._link.global_request:
                connection.transport.cancel_port_forward(*listen)

    def renew(self, connection: Connection, forwards: list[Forward]) -> dict[int, str]:
        """Asks a new connection for all of them; what is wrong with each, by number. Blocks."""
        problems = {}
        for forward in forwards:
            problems[forward.number] = ""
            try:
                self.request(connection, forward.listen, forward.target)
            except MachineError as error:
                log.warning("%s", error)
                problems[forward.number] = str(error)
        return problems

    def _arrived(self, channel: paramiko.Channel, origin: Any, listen: Any) -> None:
        """In paramiko's thread, before the channel's first byte."""
        pipe = self._new_pipe()
        pipe.attach(channel)
        target = self._targets.get((listen[0], listen[1]))
        post(self._loop, self._dial, pipe, target)

    def _dial(self, pipe: Pipe, target: Address | None) -> None:
        if target is None:
            pipe.close()
            return
        task = self._loop.create_task(self._connect(pipe, target))
        # The loop holds tasks only weakly.
        self._dialing.add(task)
        task.add_done_callback(self._dialing.discard)

    async def _connect(self, pipe: Pipe, target: Address) -> None:
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        sock.setblocking(False)
        try:
            async with asyncio.timeout(10):
                await self._loop.sock_connect(sock, target)
        except (OSError, TimeoutError) as error:
            log.info("nothing answers at %s:%d here: %s", *target, error)
            sock.close()
            pipe.close()
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pipe.connect(sock)
