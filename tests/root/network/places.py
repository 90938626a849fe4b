"""Hosts in network namespaces of the test's own, driven from the test's process.

A socket keeps the namespace in which it was made, so a test makes its sockets "inside" a place and then uses them
like any other: no helper process, no thread.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hostagent.kernel import libc, netlink
from hostagent.kernel.constants import CLONE_NEWNET
from hostagent.model.network import Interface
from hostagent.network.driver import Driver
from tests.tools import need

SECONDS = 3.0  # patience of every socket: longer than ARP's first retry


class Place:
    """A network namespace with lo up."""

    def __init__(self) -> None:
        here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            libc.unshare(CLONE_NEWNET)
            self.fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            netlink.configure([])
        finally:
            libc.setns(here, CLONE_NEWNET)
            os.close(here)

    def close(self) -> None:
        os.close(self.fd)

    @property
    def path(self) -> str:
        """A path of the namespace for other programs."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    @contextmanager
    def inside(self) -> Iterator[None]:
        """The calling thread is in the namespace; so is what it starts."""
        here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        libc.setns(self.fd, CLONE_NEWNET)
        try:
            yield
        finally:
            libc.setns(here, CLONE_NEWNET)
            os.close(here)

    def run(self, command: str) -> str:
        """Run a command in the namespace and return what it prints."""
        program, *arguments = command.split()
        with self.inside():
            done = subprocess.run(
                [need(program, {"ip": "iproute2", "nft": "nftables"}[program]), *arguments],
                check=True,
                capture_output=True,
                text=True,
                timeout=20,
            )
        return done.stdout

    def sysctl(self, name: str, value: str | None = None) -> str:
        """Read, or set and read, net.<name> of the namespace."""
        path = Path("/proc/sys/net") / name
        with self.inside():
            if value is not None:
                path.write_text(value)
            return path.read_text().strip()

    def open_socket(self, proto: str, address: str = "") -> socket.socket:
        """A socket of the namespace for that address's family, with a timeout."""
        kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
        with self.inside():
            made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
        made.settimeout(SECONDS)
        return made

    def server(self, proto: str, port: int, address: str = "") -> socket.socket:
        """A bound (tcp: listening) socket of the namespace."""
        made = self.open_socket(proto, address)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        if proto == "tcp":
            made.listen(8)
        return made


def exchange(client: Place, server: socket.socket, address: str, port: int) -> str:
    """Send a question from `client` to address:port and the answer back; the source that `server` saw."""
    with ExitStack() as stack:
        asking = stack.enter_context(
            client.open_socket("tcp" if server.type == socket.SOCK_STREAM else "udp", address)
        )
        asking.connect((address, port))
        asking.send(b"question")
        if server.type == socket.SOCK_STREAM:
            accepted, peer = server.accept()
            stack.enter_context(accepted)
            accepted.settimeout(SECONDS)
            question = accepted.recv(100)
            accepted.send(b"answer")
        else:
            question, peer = server.recvfrom(100)
            server.sendto(b"answer", peer)
        assert question == b"question"
        # The socket is connected: an answer from any other address than the asked one would not arrive.
        assert asking.recv(100) == b"answer"
        return str(peer[0])


def arrives(client: Place, server: socket.socket, address: str, port: int, seconds: float = 0.3) -> bool:
    """True when what `client` sends to address:port comes to `server` within `seconds`."""
    with client.open_socket("tcp" if server.type == socket.SOCK_STREAM else "udp", address) as asking:
        asking.setblocking(False)
        try:
            asking.connect((address, port))
        except BlockingIOError:
            pass
        if server.type == socket.SOCK_DGRAM:
            asking.send(b"question")
        server.settimeout(seconds)
        try:
            if server.type == socket.SOCK_STREAM:
                server.accept()[0].close()
            else:
                server.recvfrom(100)
        except TimeoutError:
            return False
        finally:
            server.settimeout(SECONDS)
    return True


class Container(Place):
    """A namespace on a network, as the daemon and init make one."""

    def __init__(self, network: Driver, container_id: str, mac: str | None = None) -> None:
        super().__init__()
        self.id = container_id
        self._network = network
        self.interface: Interface = network.allocate(container_id, mac)
        self.host_interface = network.connect(container_id, self.interface, self.fd)
        with self.inside():
            netlink.configure([self.interface])

    @property
    def ip(self) -> str:
        return self.interface.ip
