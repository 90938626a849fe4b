"""What init and its parent say to each other while a container starts: one JSON object per datagram.

builder                             shim
 | <--------------------- Build ----- |   the shim holds the lock
 | -- Born + fds -------------------> |   or Failed

init                                parent
 | -- Namespaces -------------------> |   they exist: the parent may give /proc/<pid>/ns/net its interfaces
 | <------------------- Network ----- |   only when the spec makes a new network namespace
 | -- Resolver + fds ---------------> |   only when that asks for it
 | -- Console + fd of the master ---> |   only with a terminal
 | -- Ready ------------------------> |   only with an exec fifo: all is checked, init waits at the fifo
 | -- Failed -----------------------> |   or else the channel closes at execve: the program runs
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from hostagent.model.network import Interface, InterfaceJson

_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Message:
    kind: ClassVar[str]

    def encode(self) -> bytes:
        names: tuple[str, ...] = self.__match_args__
        return _encode(self.kind, {name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class Build(Message):
    """Make it, with a pipe for its standard input or without."""

    open_stdin: bool
    kind: ClassVar[str] = "build"


@dataclass(frozen=True)
class Born(Message):
    """Init runs and is the receiver's child. Carries its pidfd, our end of its channel and, without a terminal, our
    ends of its stdin (if it is open), stdout and stderr."""

    pid: int
    terminal: bool
    network: bool
    """Whether it has a new network namespace."""
    pids: bool
    """Whether it is in another PID namespace than the host's."""
    cgroups_path: str
    seccomp_path: str | None
    warnings: list[str]
    kind: ClassVar[str] = "born"


@dataclass(frozen=True)
class Namespaces(Message):
    kind: ClassVar[str] = "namespaces"


@dataclass(frozen=True)
class Network(Message):
    """What to finish in the network namespace; lo is brought up in any case."""

    interfaces: tuple[Interface, ...] = ()
    resolver: bool = False
    """Whether to answer with `Resolver`."""
    kind: ClassVar[str] = "network"

    def encode(self) -> bytes:
        return network([interface.to_json() for interface in self.interfaces], self.resolver)


@dataclass(frozen=True)
class Resolver(Message):
    """Carries two fds: see runtime/resolver.py."""

    kind: ClassVar[str] = "resolver"


@dataclass(frozen=True)
class Console(Message):
    """Carries one fd: the terminal's master."""

    kind: ClassVar[str] = "console"


@dataclass(frozen=True)
class Ready(Message):
    kind: ClassVar[str] = "ready"


@dataclass(frozen=True)
class Failed(Message):
    """`message` is what Docker prints after "unable to start container process: "."""

    stage: str
    errno: int
    message: str
    kind: ClassVar[str] = "failed"


def network(interfaces: list[InterfaceJson], resolver: bool = False) -> bytes:
    """`Network` as it is sent, for the shim, which passes on what it does not read."""
    return _encode(Network.kind, {"interfaces": interfaces, "resolver": resolver})


def _encode(kind: str, fields: Mapping[str, object]) -> bytes:
    return _ENCODER.encode({"type": kind, **fields}).encode()


def decode(data: bytes) -> Message:
    """The message in a datagram; ValueError when it is none of ours."""
    fields = _DECODER.raw_decode(data.decode())[0]
    kind = fields.pop("type", None)
    if kind == Network.kind:
        interfaces = tuple(Interface.from_json(entry) for entry in fields["interfaces"])
        return Network(interfaces, fields.get("resolver", False))
    if cls := _KINDS.get(kind):
        return cls(**fields)
    raise ValueError(f"unknown message {kind!r} on an init channel")


_KINDS = {cls.kind: cls for cls in (Build, Born, Namespaces, Resolver, Console, Ready, Failed)}
