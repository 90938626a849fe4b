"""Containers as the API shows them: create answer, inspection, list entry, wait result (API 1.24-1.47)."""

from __future__ import annotations

from hostagent.wire.base import Wire, shown
from hostagent.wire.config import Config
from hostagent.wire.hostconfig import HostConfig
from hostagent.wire.network import NetworkSettings, Port, SummaryNetworkSettings

NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time: not started yet, not finished yet."""


class ContainerCreated(Wire, frozen=True, kw_only=True):
    """Answer of POST /containers/create."""

    id: str = shown("")
    warnings: list[str] = shown([])


class HealthcheckResult(Wire, frozen=True, kw_only=True):
    """One run of a health check; RFC 3339 times."""

    start: str = shown(NEVER)
    end: str = shown(NEVER)
    exit_code: int = shown(0)
    output: str = shown("")


class Health(Wire, frozen=True, kw_only=True):
    """`status` is none, starting, healthy or unhealthy; the log holds the last five results."""

    status: str = shown("none")
    failing_streak: int = shown(0)
    log: list[HealthcheckResult] | None = shown(None)


class ContainerState(Wire, frozen=True, kw_only=True):
    """`status` is created, running, paused, restarting, removing, exited or dead.

    Times are RFC 3339 with nanoseconds, NEVER if not yet.
    """

    status: str = shown("created")
    running: bool = shown(False)
    paused: bool = shown(False)
    restarting: bool = shown(False)
    oom_killed: bool = shown(False)
    dead: bool = shown(False)
    pid: int = shown(0)
    exit_code: int = shown(0)
    error: str = shown("")
    started_at: str = shown(NEVER)
    finished_at: str = shown(NEVER)
    health: Health | None = None


class MountPoint(Wire, frozen=True, kw_only=True):
    """A mount that a container has."""

    type: str = ""
    name: str = ""
    source: str = shown("")
    destination: str = shown("")
    driver: str = ""
    mode: str = shown("")
    rw: bool = shown(False)
    propagation: str = shown("")


class DriverData(Wire, frozen=True, kw_only=True):
    """The storage driver and what it tells about a layer or container."""

    data: dict[str, str] | None = shown(None)
    name: str = shown("")


class ContainerInspect(Wire, frozen=True, kw_only=True):
    """Answer of GET /containers/{id}/json; `name` has its leading slash, sizes are bytes."""

    id: str = shown("")
    created: str = shown("")
    path: str = shown("")
    args: list[str] = shown([])
    state: ContainerState = shown(ContainerState())
    image: str = shown("")
    resolv_conf_path: str = shown("")
    hostname_path: str = shown("")
    hosts_path: str = shown("")
    log_path: str = shown("")
    name: str = shown("")
    restart_count: int = shown(0)
    driver: str = shown("overlay2")
    platform: str = shown("linux")
    mount_label: str = shown("")
    process_label: str = shown("")
    app_armor_profile: str = shown("")
    exec_ids: list[str] | None = shown(None)
    host_config: HostConfig = shown(HostConfig())
    graph_driver: DriverData = shown(DriverData())
    size_rw: int | None = None
    size_root_fs: int | None = None
    mounts: list[MountPoint] = shown([])
    config: Config = shown(Config())
    network_settings: NetworkSettings = shown(NetworkSettings())


class SummaryHostConfig(Wire, frozen=True, kw_only=True):
    """The little of a HostConfig that a list shows."""

    network_mode: str = ""
    annotations: dict[str, str] = {}


class ContainerSummary(Wire, frozen=True, kw_only=True):
    """Entry of GET /containers/json.

    `created` in Unix seconds, `names` with leading slashes, `state` one word, `status` the phrase of
    `docker ps` ("Up 3 seconds").
    """

    id: str = shown("")
    names: list[str] = shown([])
    image: str = shown("")
    image_id: str = shown("")
    command: str = shown("")
    created: int = shown(0)
    ports: list[Port] = shown([])
    size_rw: int = 0
    size_root_fs: int = 0
    labels: dict[str, str] = shown({})
    state: str = shown("")
    status: str = shown("")
    host_config: SummaryHostConfig = shown(SummaryHostConfig())
    network_settings: SummaryNetworkSettings = shown(SummaryNetworkSettings())
    mounts: list[MountPoint] = shown([])


class WaitError(Wire, frozen=True, kw_only=True):
    """Why a wait ended without an exit code of the container's own."""

    message: str = shown("")


class WaitResult(Wire, frozen=True, kw_only=True):
    """Answer of POST /containers/{id}/wait."""

    error: WaitError | None = None
    status_code: int = shown(0)


class UpdateResult(Wire, frozen=True, kw_only=True):
    """Answer of POST /containers/{id}/update."""

    warnings: list[str] | None = shown(None)


class IdResponse(Wire, frozen=True, kw_only=True):
    """Answer of exec create and commit."""

    id: str = shown("")
