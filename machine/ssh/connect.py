"""Opens an SSH connection to a machine: strict host key, agent and key files, ~/.ssh/config, jump hosts.

fabric reads the configuration and opens the jump hosts, paramiko speaks SSH; what they raise becomes one
clear sentence here.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from machine.errors import Denied, HostKeyMismatch, MachineError, Unavailable
from machine.model.machine import Machine
from machine.ssh import hostkey, turns
from machine.ssh.connection import Connection
from machine.ssh.wire import Wire

if TYPE_CHECKING:
    import paramiko

# AES-GCM is one C call per packet where CTR with HMAC is two: 1.05 to 1.8 times the throughput, run by run.
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
# 2 MiB, paramiko's own, ends a stream at 20 MB/s over a 100 ms path.
_WINDOW = 8 * 1024 * 1024
_PACKET = 32 * 1024


def connect(machine: Machine, *, timeout: float = 15.0, passphrase: str | None = None) -> Connection:
    """An authenticated connection to `machine`; `timeout` (seconds) holds for each of TCP, handshake, login.

    Raises HostKeyMismatch (never worth a retry), Denied (our keys are refused), Unavailable (try again).
    """
    types = hostkey.key_types(machine)
    return _open(machine, timeout, types, passphrase, lambda shown: hostkey.verify(machine, shown))


def shown_key(machine: Machine, types: tuple[str, ...], *, timeout: float = 15.0) -> str:
    """The host key that is shown at `machine`'s address ("ssh-ed25519 AAAA…"), of one of `types`. Nobody logs in.

    Who shows it is not known by that: it is for comparing with what the person trusts.
    """

    def refuse(key: str) -> None:
        raise _Shown(key)

    try:
        _open(machine, timeout, types, None, refuse)
    except _Shown as shown:
        return shown.key
    raise AssertionError("a connection without a look at the host key")


class _Shown(MachineError):
    """Ends the handshake before the login."""

    def __init__(self, key: str) -> None:
        super().__init__("looked at the host key")
        self.key = key


def _open(
    machine: Machine,
    timeout: float,
    types: tuple[str, ...],
    passphrase: str | None,
    judge: Callable[[str], None],
) -> Connection:
    """`judge` gets the key that the host shows, and raises unless it is the right one."""
    session = _session(machine, timeout, types, passphrase, judge)
    wire: Wire | None = None
    hops = tuple(_hops(session))
    try:
        if hops:
            wire = Wire(session.open_gateway())
            session.gateway = None  # used: `open` shall take the wire
        elif not session.gateway:
            wire = Wire(_dial(machine, session.host, int(session.port), timeout))
        if wire is not None:  # a ProxyCommand reads in its own way
            session.connect_kwargs["sock"] = wire
        session.open()
        turns.keep(session.transport)
    except BaseException as error:
        Connection(machine, session, wire, hops).close()
        if isinstance(error, MachineError) or not isinstance(error, Exception):
            raise
        raise _translate(machine, error) from error
    if wire is not None:
        wire.settle()
    return Connection(machine, session, wire, hops)


def _session(
    machine: Machine,
    timeout: float,
    types: tuple[str, ...],
    passphrase: str | None,
    judge: Callable[[str], None],
) -> Any:
    """A fabric connection that is not open yet (fabric has no type information)."""
    import fabric
    import paramiko

    _hush_paramiko()

    class JudgedKeys(paramiko.MissingHostKeyPolicy):
        def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
            judge(f"{key.get_name()} {key.get_base64()}")

    def transport(sock: Any, **options: Any) -> paramiko.Transport:
        made = paramiko.Transport(
            sock, default_window_size=_WINDOW, default_max_packet_size=_PACKET, **options
        )
        security = made.get_security_options()
        security.ciphers = tuple(cipher for cipher in _CIPHERS if cipher in security.ciphers)
        security.key_types = tuple(kind for name in types for kind in _signatures(name))
        return made

    # lazy: ~/.fabric.yaml and invoke.yaml are about other tools; ~/.ssh/config is wanted.
    config = fabric.Config(lazy=True)
    config.load_ssh_config()
    options: dict[str, Any] = {
        "transport_factory": transport,
        "banner_timeout": timeout,
        "auth_timeout": timeout,
        "channel_timeout": timeout,
    }
    if machine.identity_file is not None:
        options["key_filename"] = [os.path.expanduser(machine.identity_file)]
        options["look_for_keys"] = False
    if passphrase is not None:
        options["passphrase"] = passphrase
    session = fabric.Connection(
        machine.address,
        user=machine.user,
        port=machine.port,
        config=config,
        forward_agent=False,
        connect_timeout=max(1, int(timeout)),
        connect_kwargs=options,
    )
    session.client.set_missing_host_key_policy(JudgedKeys())
    for hop in _hops(session):
        # A jump host is not ours: the user's own known_hosts decides, as with ssh.
        hop.client.load_system_host_keys()
        hop.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    return session


@cache
def _hush_paramiko() -> None:
    """It logs tracebacks of what it raises as well; without any handler Python would print them to the user."""
    logging.getLogger("paramiko").addHandler(logging.NullHandler())


def _hops(session: Any) -> Iterator[Any]:
    """The jump hosts (fabric connections), the nearest to the machine first; a ProxyCommand is none."""
    hop = session.gateway
    while hop and not isinstance(hop, str):
        yield hop
        hop = hop.gateway


def _signatures(key_type: str) -> tuple[str, ...]:
    """Signature algorithms of a key type (RFC 8332: an ssh-rsa key signs with SHA-2)."""
    return ("rsa-sha2-512", "rsa-sha2-256") if key_type == "ssh-rsa" else (key_type,)


def _dial(machine: Machine, host: str, port: int, timeout: float) -> socket.socket:
    try:
        return socket.create_connection((host, port), timeout)
    except TimeoutError:
        raise Unavailable(
            f"{machine.name} ({host} port {port}) does not answer: is it running, and does its "
            f"firewall admit your address?  pymachine ls"
        ) from None
    except OSError as error:
        raise Unavailable(
            f"{machine.name} ({host} port {port}) cannot be reached: {error.strerror or error}"
        ) from error


def _translate(machine: Machine, error: Exception) -> MachineError:
    import paramiko

    where = f"{machine.user}@{machine.address}"
    if isinstance(error, paramiko.PasswordRequiredException):
        return Denied(
            f"the key {machine.identity_file or 'in ~/.ssh'} is locked by a passphrase: unlock it with "
            "ssh-add"
        )
    if isinstance(error, paramiko.BadHostKeyException):
        return HostKeyMismatch(
            f"the jump host {error.hostname} shows another host key than ~/.ssh/known_hosts says: "
            "nothing was sent"
        )
    if isinstance(error, paramiko.AuthenticationException):
        keys = machine.identity_file or "the keys of your agent and ~/.ssh"
        return Denied(f"{where} refused the login with {keys} ({error})")
    if isinstance(error, paramiko.SSHException) and "No authentication methods" in str(error):
        return Denied(
            f"you have no key to log in to {where} with: make one (ssh-keygen), or start your SSH agent"
        )
    if isinstance(error, paramiko.SSHException) and "no acceptable host key" in str(error):
        return hostkey.missing_type(machine)
    if isinstance(error, paramiko.SSHException) and "not found in known_hosts" in str(error):
        return HostKeyMismatch(
            f"a jump host on the way to {machine.name} is not known: {error}; try it with ssh once"
        )
    if isinstance(error, paramiko.SSHException | OSError | EOFError):
        return Unavailable(
            f"{where} port {machine.port} does not speak SSH with us: {str(error) or 'connection closed'}"
        )
    return MachineError(f"cannot connect to {where}: {error!r}")
