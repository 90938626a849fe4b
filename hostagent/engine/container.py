"""A container as the daemon holds it in memory: what was asked, what is known, and who waits for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from hostagent.engine.files.mounts import Mounts
from hostagent.engine.life.shimlink import ShimLink
from hostagent.engine.networks.joined import Joined
from hostagent.engine.state import State
from hostagent.errors import EngineError
from hostagent.runtime import protocol
from hostagent.wire import ContainerCreate, HostConfig, ProcessConfig

if TYPE_CHECKING:
    from hostagent.engine.listing import Listed


class ExecConfig(msgspec.Struct, frozen=True):
    """What an exec was asked to do; lives in the shim too, for a daemon that comes later."""

    args: list[str]
    user: str
    tty: bool
    open_stdin: bool
    open_stdout: bool
    open_stderr: bool
    env: list[str]
    working_dir: str
    detach_keys: str
    health_check: bool = False
    console_size: tuple[int, int] = (0, 0)
    """Height, width; for a TTY whose start names none."""
    privileged: bool = False

    def process(self) -> ProcessConfig:
        """As `exec inspect` shows it."""
        return ProcessConfig(
            tty=self.tty,
            entrypoint=self.args[0],
            arguments=self.args[1:],
            privileged=self.privileged,
            user=self.user,
        )


@dataclass
class ExecState:
    """One exec of a running container, from create until the container ends."""

    id: str
    container: Container
    config: ExecConfig
    pid: int = 0
    exit_code: int | None = None
    begun: asyncio.Future[protocol.Message] | None = None
    """Done with ExecStarted or ExecFailed."""
    ended: asyncio.Future[int] | None = None
    """For a health check: done with its exit code."""

    def end(self, code: int) -> None:
        """It is over, or never began."""
        self.exit_code = code
        if self.ended and not self.ended.done():
            self.ended.set_result(code)

    @property
    def running(self) -> bool:
        return self.pid > 0 and self.exit_code is None


@dataclass(eq=False)
class Container:
    """`directory` is its bundle; all else in memory can be had again from the row, the directory and the shim."""

    id: str
    name: str
    created_ns: int
    image_id: str
    config: ContainerCreate
    directory: str
    mounts: Mounts = field(default_factory=Mounts)
    """Known once its creation is complete."""
    networks: tuple[Joined, ...] | None = None
    """None: the one that its network mode names. See joined.py."""
    lowerdirs: tuple[str, ...] | None = None
    """Layers that no image has, the top one first: a step of a build runs on them. None: those of its image."""
    state: State = field(default_factory=State)
    link: ShimLink | None = None
    pending: list[tuple[protocol.Attach, int]] = field(default_factory=list)
    """Clients that attached before the start, as `docker run` does."""
    pending_waits: list[tuple[protocol.Await, int]] = field(default_factory=list)
    """Clients that wait for the exit of a container that has not started yet, as `docker run` does."""
    waiting: list[tuple[int, bool]] = field(default_factory=list)
    """Clients that its shim gave back at the exit: (fd, whether it waits for the removal)."""
    execs: dict[str, ExecState] = field(default_factory=dict)
    begun: asyncio.Future[protocol.Message] | None = None
    """While it starts: done with Started or StartFailed."""
    answered: asyncio.Future[tuple[protocol.Message, list[int]]] | None = None
    """While its network changes: done with what its shim answers, and the fds that came with that."""
    exits: set[asyncio.Future[int]] = field(default_factory=set)
    removals: set[asyncio.Future[int]] = field(default_factory=set)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by start, restart and remove; never while waiting for a stop."""
    visits: set[asyncio.Task[Any]] = field(default_factory=set)
    """Work of helpers in its files (see roots.py); no start before their end, and none outlives the container."""
    restart: asyncio.Task[None] | None = None
    removing: bool = False
    removal: asyncio.Future[EngineError | None] | None = None
    """Of the last attempt to remove it: done with what went wrong, or None."""
    listed: Listed | None = None
    """Its entry of the last list."""
    gone: bool = False
    """Removed: only clients that hear of it late still hold this object."""

    @property
    def host(self) -> HostConfig:
        """Completed at create, so always there."""
        assert self.config.host_config is not None
        return self.config.host_config

    @property
    def shim(self) -> ShimLink | None:
        """The shim of the run that is under way, from its launch on; None for one that has ended."""
        return self.link if self.begun is not None or self.state.phase == "running" else None

    @property
    def labels(self) -> dict[str, str]:
        return self.config.labels or {}

    def event_attributes(self, **more: str) -> dict[str, str]:
        """What events about it carry."""
        return {**self.labels, "image": self.config.image, "name": self.name, **more}
