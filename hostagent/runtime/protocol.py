"""What the daemon, the launcher and the shims say to each other.

Every message is one datagram on a SOCK_SEQPACKET socket: JSON, with file descriptors beside it (SCM_RIGHTS) where the
message's docstring says so. The protocol is versioned because a shim runs the code it was born with for as long as its
container lives (design.md, rule 12): a daemon speaks VERSION and the two before it.

    daemon                          launcher                         shim
      │ Launch + fd of a new pair ─────►│ fork ─────────────────────────►│ (lock, own socket)
      │ Keep + fds, Attach + fd, Start ──────────────────────────────────►│
      │◄─────────────────────────────────────────────── NetnsReady + fd ──│ init has its namespaces
      │ Network ─────────────────────────────────────────────────────────►│ init configures, execs
      │◄──────────────────────────────────────── Started | StartFailed ──│
      │◄──────────────────────────────────────────── ExecExit, Exit ... ──│
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from hostagent.model.network import InterfaceJson

VERSION = 2
NETWORKS_SINCE = 2
"""The version that knows `AskNetns`, `Rewire`, `Rewired` and `Resolver`: older shims cannot change networks."""

_ENCODER = json.JSONEncoder(separators=(",", ":"))
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Message:
    """Base of all messages; `type` is the class's name on the wire."""

    registry: ClassVar[dict[str, type[Message]]] = {}

    def __init_subclass__(cls) -> None:
        Message.registry[cls.__name__] = cls

    def encode(self) -> bytes:
        # Not asdict, which copies deeply through a good part of two more modules.
        names: tuple[str, ...] = self.__match_args__
        fields = {name: getattr(self, name) for name in names}
        return _ENCODER.encode({"type": type(self).__name__, **fields}).encode()


def decode(data: bytes) -> Message:
    """The message in one datagram; ValueError when it is none of ours. Fields that we do not know are left out,
    so that a newer peer of the same VERSION may say more."""
    raw: dict[str, Any] = _DECODER.raw_decode(data.decode())[0]
    cls = Message.registry.get(raw.pop("type", ""))
    if cls is None:
        raise ValueError(f"unknown message: {data[:80]!r}")
    known = cls.__dataclass_fields__
    return cls(**{key: value for key, value in raw.items() if key in known})


# -- daemon -> launcher


@dataclass(frozen=True, slots=True)
class Launch(Message):
    """Fork a shim for container `id` whose bundle is `bundle`. One fd: the shim's end of its connection."""

    id: str
    bundle: str
    socket_path: str
    """Where the shim listens for later daemons."""


# -- daemon -> shim


@dataclass(frozen=True, slots=True)
class Hello(Message):
    """First word of a daemon that connects anew; the answer is `Status`."""

    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Keep(Message):
    """Hold these fds for the life of the container (bound sockets of published ports, ...)."""


@dataclass(frozen=True, slots=True)
class Start(Message):
    """Make the container and start its first process."""

    log: dict[str, Any]
    """Fields of a LogPlan."""
    open_stdin: bool
    stdin_once: bool
    await_network: bool
    """The daemon will answer `NetnsReady` with `Network`; otherwise a new netns gets a loopback only."""
    durable: bool
    """fsync the exit record: false for containers that are removed at their exit anyway."""
    stop_signal: int = 15
    """What `Stop` sends."""
    height: int = 0
    width: int = 0


@dataclass(frozen=True, slots=True)
class Network(Message):
    """Interfaces that the daemon has put into the netns, for init to configure (model.network.Interface as JSON)."""

    interfaces: list[InterfaceJson]
    resolver: bool = False
    """Whether the sockets at 127.0.0.11:53 are wanted: they come with `Resolver`."""


@dataclass(frozen=True, slots=True)
class AskNetns(Message):
    """Of a container that runs: the answer is `NetnsReady`."""


@dataclass(frozen=True, slots=True)
class Rewire(Message):
    """Change the network of a container that runs; the answer is `Rewired`."""

    interfaces: list[InterfaceJson]
    """That the daemon has put into its namespace; none with a gateway."""
    removed: list[str]
    """Names of interfaces there that go away."""
    gateway: str
    """Of the IPv4 default route from now on, through `gateway_interface`; "": no default route."""
    gateway_interface: str
    gateway6: str = ""
    """The same of IPv6."""
    gateway6_interface: str = ""
    resolver: bool = False
    """As of `Network`."""


@dataclass(frozen=True, slots=True)
class Attach(Message):
    """One fd: a client's connection, response head already sent. `early` is latin-1 of bytes read past the request."""

    stdin: bool
    stdout: bool
    stderr: bool
    multiplexed: bool
    """8-byte frame headers, as Docker sends without a terminal."""
    stream: bool = True
    detach_keys: list[int] = field(default_factory=list)
    """Bytes that end the attachment when typed in a row; terminal only."""
    early: str = ""


@dataclass(frozen=True, slots=True)
class Await(Message):
    """One fd: a client that waits for the exit (or the removal), response head already sent.

    At the exit it goes back to the daemon with `Waiting`, to be answered once that has recorded the exit; when there
    is no daemon at that moment the shim answers, with one last HTTP chunk."""

    removed: bool


@dataclass(frozen=True, slots=True)
class Exec(Message):
    """Run a process in the container. One fd when `attach` is given: the client's connection."""

    exec_id: str
    process: dict[str, Any]
    """OCI process object."""
    open_stdin: bool
    config: dict[str, Any]
    """What `exec inspect` echoes; kept for a daemon that comes later."""
    attach: dict[str, Any] | None = None
    """Fields of Attach."""


@dataclass(frozen=True, slots=True)
class Signal(Message):
    """Send a signal to the first process (or to that of an exec)."""

    number: int
    exec_id: str = ""


@dataclass(frozen=True, slots=True)
class Stop(Message):
    """Send the container's own stop signal: for the host's shutdown, when no daemon is left that knows it."""


@dataclass(frozen=True, slots=True)
class Resize(Message):
    """Terminal size in character cells."""

    height: int
    width: int
    exec_id: str = ""


# -- shim -> daemon


@dataclass(frozen=True, slots=True)
class Resolver(Message):
    """Two fds: the sockets at 127.0.0.11:53 of the container's network namespace, UDP and listening TCP. Sent when they
    are opened, and after `Status` to a daemon that comes later."""


@dataclass(frozen=True, slots=True)
class Rewired(Message):
    """What became of a `Rewire`: nothing is said when all is done."""

    errno: int
    message: str


@dataclass(frozen=True, slots=True)
class NetnsReady(Message):
    """One fd: the container's new network namespace."""


@dataclass(frozen=True, slots=True)
class Started(Message):
    """The first process runs. `pid` as seen by the shim; times are nanoseconds since the epoch."""

    pid: int
    started_ns: int
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class StartFailed(Message):
    """The container could not be made; the shim ends."""

    stage: str
    errno: int
    message: str


@dataclass(frozen=True, slots=True)
class ExecStarted(Message):
    exec_id: str
    pid: int


@dataclass(frozen=True, slots=True)
class ExecFailed(Message):
    exec_id: str
    errno: int
    message: str


@dataclass(frozen=True, slots=True)
class ExecExit(Message):
    exec_id: str
    code: int


@dataclass(frozen=True, slots=True)
class Detached(Message):
    """A client typed its detach keys."""

    exec_id: str = ""


@dataclass(frozen=True, slots=True)
class Waiting(Message):
    """One fd: a client of `Await` whose container has ended."""

    removed: bool


@dataclass(frozen=True, slots=True)
class Exit(Message):
    """The first process ended and its output is in the log. Also the content of the exit record."""

    code: int
    """As a shell counts: 128 + signal when killed."""
    oom: bool
    started_ns: int
    finished_ns: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class Status(Message):
    """Answer to `Hello`: all that a new daemon cannot know."""

    version: int
    phase: str
    """"created" (not started), "starting", "running", "exited"."""
    pid: int
    started_ns: int
    execs: list[dict[str, Any]]
    """exec_id, pid, code (None while it runs), config."""


def exec_fields(attach: Attach) -> Mapping[str, Any]:
    """`Attach` as the `attach` field of `Exec`."""
    return asdict(attach)
