"""How a host shall run a container: `HostConfig` with all its documented fields (API 1.24-1.47).

Fields that the engine does not implement are here too, so that it can refuse them by name.
"""

from __future__ import annotations

from hostagent.wire.base import Wire, shown
from hostagent.wire.network import PortMap


class LogConfig(Wire, frozen=True, kw_only=True):
    """The log driver; an empty type is the daemon's default."""

    type: str = shown("")
    config: dict[str, str] | None = shown(None)


class RestartPolicy(Wire, frozen=True, kw_only=True):
    """`name` is "", no, always, on-failure or unless-stopped; the count limits on-failure."""

    name: str = shown("")
    maximum_retry_count: int = shown(0)


class WeightDevice(Wire, frozen=True, kw_only=True):
    """Relative block I/O weight of one device."""

    path: str = shown("")
    weight: int = shown(0)


class ThrottleDevice(Wire, frozen=True, kw_only=True):
    """A rate limit of one device, bytes or operations per second."""

    path: str = shown("")
    rate: int = shown(0)


class DeviceMapping(Wire, frozen=True, kw_only=True):
    """A host device inside the container; permissions out of `rwm`."""

    path_on_host: str = shown("")
    path_in_container: str = shown("")
    cgroup_permissions: str = shown("")


class DeviceRequest(Wire, frozen=True, kw_only=True):
    """Devices asked from a driver (GPUs, CDI); count -1 is all."""

    driver: str = shown("")
    count: int = shown(0)
    device_ids: list[str] | None = shown(None)
    capabilities: list[list[str]] | None = shown(None)
    options: dict[str, str] | None = shown(None)


class Ulimit(Wire, frozen=True, kw_only=True):
    """A resource limit by its short name (`nofile`); -1 is unlimited."""

    name: str = shown("")
    hard: int = shown(0)
    soft: int = shown(0)


class BindOptions(Wire, frozen=True, kw_only=True):
    """Options of a mount of type bind."""

    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


class VolumeDriver(Wire, frozen=True, kw_only=True):
    """The driver that makes a missing volume."""

    name: str = ""
    options: dict[str, str] = {}


class VolumeOptions(Wire, frozen=True, kw_only=True):
    """Options of a mount of type volume."""

    no_copy: bool = False
    labels: dict[str, str] = {}
    subpath: str = ""
    driver_config: VolumeDriver | None = None


class ImageOptions(Wire, frozen=True, kw_only=True):
    """Options of a mount of type image."""

    subpath: str = ""


class TmpfsOptions(Wire, frozen=True, kw_only=True):
    """Options of a mount of type tmpfs; size in bytes, mode as an integer (0o1777 = 1023)."""

    size_bytes: int = 0
    mode: int = 0
    options: list[list[str]] = []


class Mount(Wire, frozen=True, kw_only=True):
    """An entry of `HostConfig.Mounts`; type is bind, volume, tmpfs, image, npipe or cluster."""

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    image_options: ImageOptions | None = None
    tmpfs_options: TmpfsOptions | None = None


class HostConfig(Wire, frozen=True, kw_only=True):
    """The host's part of a container's configuration. Memory in bytes, CPU times in microseconds."""

    binds: list[str] | None = shown(None)
    container_id_file: str = shown("")
    log_config: LogConfig = shown(LogConfig())
    network_mode: str = shown("")
    port_bindings: PortMap | None = shown(None)
    restart_policy: RestartPolicy = shown(RestartPolicy())
    auto_remove: bool = shown(False)
    volume_driver: str = shown("")
    volumes_from: list[str] | None = shown(None)
    console_size: tuple[int, int] = shown((0, 0))
    """Height, width."""
    annotations: dict[str, str] = {}
    cap_add: list[str] | None = shown(None)
    cap_drop: list[str] | None = shown(None)
    cgroupns_mode: str = shown("")
    dns: list[str] | None = shown(None)
    dns_options: list[str] | None = shown(None)
    dns_search: list[str] | None = shown(None)
    extra_hosts: list[str] | None = shown(None)
    group_add: list[str] | None = shown(None)
    ipc_mode: str = shown("")
    cgroup: str = shown("")
    links: list[str] | None = shown(None)
    oom_score_adj: int = shown(0)
    pid_mode: str = shown("")
    privileged: bool = shown(False)
    publish_all_ports: bool = shown(False)
    readonly_rootfs: bool = shown(False)
    security_opt: list[str] | None = shown(None)
    storage_opt: dict[str, str] = {}
    tmpfs: dict[str, str] = {}
    uts_mode: str = shown("")
    userns_mode: str = shown("")
    shm_size: int = shown(0)
    sysctls: dict[str, str] = {}
    runtime: str = ""
    isolation: str = shown("")
    cpu_shares: int = shown(0)
    memory: int = shown(0)
    nano_cpus: int = shown(0)
    """Billionths of a CPU."""
    cgroup_parent: str = shown("")
    blkio_weight: int = shown(0)
    blkio_weight_device: list[WeightDevice] | None = shown(None)
    blkio_device_read_bps: list[ThrottleDevice] | None = shown(None)
    blkio_device_write_bps: list[ThrottleDevice] | None = shown(None)
    blkio_device_read_iops: list[ThrottleDevice] | None = shown(None)
    blkio_device_write_iops: list[ThrottleDevice] | None = shown(None)
    cpu_period: int = shown(0)
    cpu_quota: int = shown(0)
    cpu_realtime_period: int = shown(0)
    cpu_realtime_runtime: int = shown(0)
    cpuset_cpus: str = shown("")
    cpuset_mems: str = shown("")
    devices: list[DeviceMapping] | None = shown(None)
    device_cgroup_rules: list[str] | None = shown(None)
    device_requests: list[DeviceRequest] | None = shown(None)
    kernel_memory: int = 0
    kernel_memory_tcp: int = 0
    memory_reservation: int = shown(0)
    memory_swap: int = shown(0)
    memory_swappiness: int | None = shown(None)
    oom_kill_disable: bool | None = shown(None)
    pids_limit: int | None = shown(None)
    ulimits: list[Ulimit] | None = shown(None)
    cpu_count: int = shown(0)
    cpu_percent: int = shown(0)
    io_maximum_iops: int = shown(0)
    io_maximum_bandwidth: int = shown(0)
    mounts: list[Mount] = []
    masked_paths: list[str] | None = shown(None)
    readonly_paths: list[str] | None = shown(None)
    init: bool | None = None
