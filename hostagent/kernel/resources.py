"""What a container may use, in the units of the OCI runtime spec (config-linux.md, "Control groups")."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DeviceRule:
    """One line of the device allow list. `kind` is a (all), b or c; None means any. Later rules win."""

    allow: bool
    kind: str = "a"
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"


@dataclass(frozen=True)
class DeviceValue:
    """A number for one block device: a throttle in bytes or operations per second, or a weight."""

    major: int
    minor: int
    value: int


@dataclass(frozen=True)
class HugepageLimit:
    """At most `limit` bytes in pages of `size`, which is written as the kernel does: "2MB", "1GB"."""

    size: str
    limit: int


@dataclass(frozen=True)
class Resources:
    """None: leave as the kernel has it. Sizes are bytes, -1 is unlimited; periods and quotas microseconds."""

    memory_limit: int | None = None
    memory_reservation: int | None = None
    memory_swap: int | None = None
    """Memory plus swap, as in cgroup v1 and in Docker."""
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    cpu_shares: int | None = None
    cpu_quota: int | None = None
    cpu_period: int | None = None
    cpu_burst: int | None = None
    cpu_realtime_runtime: int | None = None
    cpu_realtime_period: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    pids_limit: int | None = None
    blkio_weight: int | None = None
    blkio_weight_device: tuple[DeviceValue, ...] = ()
    read_bps: tuple[DeviceValue, ...] = ()
    write_bps: tuple[DeviceValue, ...] = ()
    read_iops: tuple[DeviceValue, ...] = ()
    write_iops: tuple[DeviceValue, ...] = ()
    devices: tuple[DeviceRule, ...] = ()
    hugepages: tuple[HugepageLimit, ...] = ()
    unified: tuple[tuple[str, str], ...] = ()
    """cgroup v2 files to write as they are."""
