"""What is known to have happened to a container: the persistent part of its life."""

from __future__ import annotations

from typing import Literal

import msgspec

from hostagent.engine.networks.joined import Attached
from hostagent.engine.timestamps import timestamp
from hostagent.engine.watch.healthcheck import HealthState
from hostagent.wire.container import ContainerState

Phase = Literal["created", "running", "restarting", "exited", "dead"]


class PublishedPort(msgspec.Struct, frozen=True):
    """A published port as it was bound: `host_port` is never 0."""

    proto: Literal["tcp", "udp", "sctp"]
    host_ip: str
    host_port: int
    container_port: int


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """Times in nanoseconds since the epoch, 0 = never. Never changed in place."""

    phase: Phase = "created"
    pid: int = 0
    exit_code: int = 0
    oom: bool = False
    error: str = ""
    started_ns: int = 0
    finished_ns: int = 0
    restarts: int = 0
    """By the restart policy, since the container was last started by hand."""
    short_runs: int = 0
    """In a row: what the pause before the next restart grows with."""
    paused: bool = False
    """Only while the phase is running."""
    held: bool = False
    """The daemon stops it for a moment, for a commit: one that finds this at its start lets it go on."""
    stopped_by_hand: bool = False
    """Stop or kill was asked for: `unless-stopped` and `always` let it lie (the latter until the daemon starts)."""
    ip: str = ""
    """CIDR on the default bridge while it runs."""
    gateway: str = ""
    mac: str = ""
    attached: tuple[Attached, ...] = ()
    """Interfaces on users' networks while it runs, in the order of their claim to the default route."""
    ports: tuple[PublishedPort, ...] = ()
    health: HealthState | None = None
    """None without a health check. On disk as of the last other change: results alone are not worth a write."""

    @property
    def running(self) -> bool:
        """Docker counts a container that waits for its restart as running."""
        return self.phase in ("running", "restarting")

    @property
    def status(self) -> str:
        """Docker's one word for it."""
        return "paused" if self.paused else self.phase

    def wire(self) -> ContainerState:
        """As `inspect` shows it."""
        return ContainerState(
            status=self.status,
            running=self.running,
            paused=self.paused,
            restarting=self.phase == "restarting",
            oom_killed=self.oom,
            dead=self.phase == "dead",
            pid=self.pid,
            exit_code=self.exit_code,
            error=self.error,
            started_at=timestamp(self.started_ns),
            finished_at=timestamp(self.finished_ns),
            health=self.health.wire() if self.health else None,
        )
