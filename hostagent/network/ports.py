"""Ports of the host: holding them, and finding out who else does.

A published port is a rule and not a listener, so a bound socket that never listens stands for it: "port in
use" is true for everybody else, and stays true while the daemon restarts (the container's shim keeps the
socket).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from hostagent.errors import Conflict, EngineError, Invalid, Unsupported
from hostagent.model.network import ANY_ADDRESS, PortBinding, Protocol

# Where Docker looks for a free port: Linux's default net.ipv4.ip_local_port_range.
FIRST_FREE, LAST_FREE = 32768, 60999

_SOCKETS: dict[Protocol, tuple[int, int]] = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}


class PortReserver:
    """Hands out bound sockets; free ports are tried upwards from the last, so that none returns at once."""

    def __init__(self, container_with: Callable[[PortBinding], str | None] = lambda _: None) -> None:
        """`container_with` names the container that publishes a port, for the message when it is taken."""
        self._container_with = container_with
        self._next = FIRST_FREE

    def reserve(self, bindings: Sequence[PortBinding]) -> list[socket.socket]:
        """Sockets bound to one port on each binding's address, not listening; the caller owns them.

        The bindings differ in their addresses only. With `host_port` 0 or a range the port is in `getsockname()[1]`.
        Conflict when it is taken (all of it, for a range), Invalid when the host has no such address, Unsupported for
        protocols the kernel lacks.
        """
        binding = bindings[0]
        if binding.host_port_end:
            first, last = binding.host_port, binding.host_port_end
            return _first_free(bindings, range(first, last + 1), first, last)
        if binding.host_port:
            held: list[socket.socket] = []
            try:
                for each in bindings:
                    held.append(self._hold(each))
            except BaseException:
                _close(held)
                raise
            return held
        upwards = chain(range(self._next, LAST_FREE + 1), range(FIRST_FREE, self._next))
        held = _first_free(bindings, upwards, FIRST_FREE, LAST_FREE)
        port: int = held[0].getsockname()[1]
        self._next = port + 1 if port < LAST_FREE else FIRST_FREE
        return held

    def _hold(self, binding: PortBinding) -> socket.socket:
        try:
            return _bound(binding, binding.host_port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise _refusal(binding, binding.host_port, error) from error
            container = self._container_with(binding)
            holder = (
                f"container {container[:12]}" if container else holder_of(binding.proto, binding.host_port)
            )
            raise taken(binding, holder) from error


def _first_free(
    bindings: Sequence[PortBinding], ports: Iterable[int], first: int, last: int
) -> list[socket.socket]:
    for port in ports:
        held: list[socket.socket] = []
        for binding in bindings:
            try:
                held.append(_bound(binding, port))
            except OSError as error:
                _close(held)
                if error.errno != errno.EADDRINUSE:
                    raise _refusal(binding, port, error) from error
                break
        else:
            return held
    raise Conflict(
        f"Bind for {bindings[0].shown_host} failed: all ports from {first} to {last} are allocated: "
        "choose other host ports"
    )


def _close(held: Iterable[socket.socket]) -> None:
    for each in held:
        each.close()


def _bound(binding: PortBinding, port: int) -> socket.socket:
    address = (binding.host_ip or ANY_ADDRESS, port)
    kind, number = _SOCKETS[binding.proto]
    family = socket.AF_INET6 if binding.ipv6 else socket.AF_INET
    held = socket.socket(family, kind | socket.SOCK_CLOEXEC, number)
    try:
        if binding.ipv6:
            held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            held.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or binding.proto != "tcp":
                raise
            # Connections of an earlier server in TIME_WAIT count as use, except for a socket with
            # SO_REUSEADDR. Such a socket in turn is no obstacle for the next one unless it listens. So:
            # listen for a moment, which settles who owns the port (inet_csk_get_port in the kernel), then
            # only stay bound.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(address)
            held.listen(1)
            held.shutdown(socket.SHUT_RDWR)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        if binding.ipv6 and binding.proto == "tcp":
            # Only now, when it is ours alone: the relay listens beside it.
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except BaseException:
        held.close()
        raise
    return held


def taken(binding: PortBinding, holder: str | None) -> Conflict:
    """The error for a host port that is in use, in Docker's words and then ours."""
    port = binding.host_port
    by = f" (by {holder})" if holder else ""
    return Conflict(
        f"Bind for {binding.shown_host}:{port} failed: port is already allocated{by}: choose another "
        f"host port, for example -p {port + 1 if port < 65535 else port - 1}:{binding.container_port}"
    )


def _refusal(binding: PortBinding, port: int, error: OSError) -> EngineError:
    where = f"{binding.shown_host}:{port}"
    if error.errno == errno.EADDRNOTAVAIL:
        return Invalid(f"Bind for {where} failed: the host has no such address: see `ip address`")
    if error.errno == errno.EAFNOSUPPORT:
        return Unsupported(f"Bind for {where} failed: this host's kernel has no IPv6")
    if error.errno in (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT):
        return Unsupported(f"Bind for {where} failed: this host's kernel has no {binding.proto}")
    return EngineError(f"Bind for {where} failed: {error.strerror}")


def holder_of(proto: Protocol, port: int) -> str | None:
    """Who has the port open, as "nginx, pid 812", from /proc; None when that cannot be told.

    A socket that is bound and does not listen is not in /proc/net, so containers' own ports are not found
    here.
    """
    inodes = {f"socket:[{inode}]" for inode in _inodes(proto, port)}
    if not inodes:
        return None
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if inodes.isdisjoint(_open_files(pid)):
            continue
        try:
            with open(f"/proc/{pid}/comm") as comm:
                return f"{comm.read().strip()}, pid {pid}"
        except (FileNotFoundError, ProcessLookupError):
            return f"pid {pid}"
    return None


def _open_files(pid: str) -> Iterator[str]:
    try:
        fds = os.listdir(f"/proc/{pid}/fd")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return  # it ended meanwhile, or is not ours to look into
    for fd in fds:
        try:
            yield os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue  # closed meanwhile


def _inodes(proto: Protocol, port: int) -> Iterator[str]:
    """Inodes of the sockets that listen on (tcp) or are bound to (udp) a port; proc(5), /proc/net/tcp."""
    wanted = struct.pack(">H", port).hex().upper()
    for name in (proto, f"{proto}6"):
        try:
            with open(f"/proc/net/{name}") as table:
                rows = [line.split() for line in table][1:]
        except FileNotFoundError:
            continue
        for row in rows:
            listening = row[3] == "0A" or proto == "udp"
            if listening and row[1].rpartition(":")[2] == wanted:
                yield row[9]
