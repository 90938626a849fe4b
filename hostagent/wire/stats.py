"""What a container uses, on the wire: GET /containers/{id}/stats (API 1.24-1.47)."""

from __future__ import annotations

from hostagent.wire.base import Wire, shown
from hostagent.wire.container import NEVER


class _Plain(Wire, frozen=True, kw_only=True, rename=str):
    """Docker spells these keys as we do."""


class PidsStats(_Plain, frozen=True, kw_only=True):
    """Tasks; a limit of 0 (v1) or 2**64-1 (v2) is none."""

    current: int = 0
    limit: int = 0


class BlkioEntry(_Plain, frozen=True, kw_only=True):
    """`op` is Read, Write, Sync, ... on v1, read or write on v2."""

    major: int = shown(0)
    minor: int = shown(0)
    op: str = shown("")
    value: int = shown(0)


class BlkioStats(_Plain, frozen=True, kw_only=True):
    """Null where the kernel does not count. Modern ones count bytes and, on v1, operations."""

    io_service_bytes_recursive: list[BlkioEntry] | None = shown(None)
    io_serviced_recursive: list[BlkioEntry] | None = shown(None)
    io_queue_recursive: list[BlkioEntry] | None = shown(None)
    io_service_time_recursive: list[BlkioEntry] | None = shown(None)
    io_wait_time_recursive: list[BlkioEntry] | None = shown(None)
    io_merged_recursive: list[BlkioEntry] | None = shown(None)
    io_time_recursive: list[BlkioEntry] | None = shown(None)
    sectors_recursive: list[BlkioEntry] | None = shown(None)


class StorageStats(_Plain, frozen=True, kw_only=True):
    """Windows fills it."""


class CPUUsage(_Plain, frozen=True, kw_only=True):
    """Nanoseconds; by CPU on v1 only."""

    total_usage: int = shown(0)
    percpu_usage: list[int] = []
    usage_in_kernelmode: int = shown(0)
    usage_in_usermode: int = shown(0)


class ThrottlingData(_Plain, frozen=True, kw_only=True):
    """Of `--cpus`: periods, those in which it ran out, and nanoseconds of waiting for the next."""

    periods: int = shown(0)
    throttled_periods: int = shown(0)
    throttled_time: int = shown(0)


class CPUStats(_Plain, frozen=True, kw_only=True):
    """`system_cpu_usage` is the whole host's, in nanoseconds of all CPUs, idle ones too."""

    cpu_usage: CPUUsage = shown(CPUUsage())
    system_cpu_usage: int = 0
    online_cpus: int = 0
    throttling_data: ThrottlingData = shown(ThrottlingData())


class MemoryStats(_Plain, frozen=True, kw_only=True):
    """Bytes. The keys of `stats` are those of memory.stat, other ones on v1 and v2."""

    usage: int = 0
    max_usage: int = 0
    stats: dict[str, int] = {}
    failcnt: int = 0
    limit: int = 0


class NetworkStats(_Plain, frozen=True, kw_only=True):
    """Of one interface inside."""

    rx_bytes: int = shown(0)
    rx_packets: int = shown(0)
    rx_errors: int = shown(0)
    rx_dropped: int = shown(0)
    tx_bytes: int = shown(0)
    tx_packets: int = shown(0)
    tx_errors: int = shown(0)
    tx_dropped: int = shown(0)


class Stats(_Plain, frozen=True, kw_only=True):
    """One sample; `precpu_stats` and `preread` are the sample before it, for rates."""

    read: str = shown(NEVER)
    preread: str = shown(NEVER)
    pids_stats: PidsStats = shown(PidsStats())
    blkio_stats: BlkioStats = shown(BlkioStats())
    num_procs: int = shown(0)
    storage_stats: StorageStats = shown(StorageStats())
    cpu_stats: CPUStats = shown(CPUStats())
    precpu_stats: CPUStats = shown(CPUStats())
    memory_stats: MemoryStats = shown(MemoryStats())
    name: str = ""
    id: str = ""
    networks: dict[str, NetworkStats] = {}
