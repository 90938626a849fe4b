"""Limits of a HostConfig as the OCI spec's linux.resources, in its units: bytes, microseconds, processes."""

from __future__ import annotations

import os
from collections.abc import Iterable

from hostagent.errors import EngineError
from hostagent.wire import HostConfig, ThrottleDevice, WeightDevice

CPU_PERIOD = 100_000
"""Microseconds; what `--cpus` is a share of."""

Json = dict[str, object]


def limits(host: HostConfig) -> Json:
    """Everything but the devices. Raises EngineError for a block device that is not there (any more)."""
    parts: dict[str, Json] = {
        "memory": _memory(host),
        "cpu": _cpu(host),
        "pids": {} if host.pids_limit is None else {"limit": host.pids_limit if host.pids_limit > 0 else -1},
        "blockIO": _block_io(host),
    }
    return {name: part for name, part in parts.items() if part}


def _memory(host: HostConfig) -> Json:
    found = {
        "limit": host.memory,
        "swap": host.memory_swap,
        "reservation": host.memory_reservation,
    }
    memory: Json = {name: value for name, value in found.items() if value}
    if host.memory_swappiness is not None:
        memory["swappiness"] = host.memory_swappiness
    if host.oom_kill_disable:
        memory["disableOOMKiller"] = True
    return memory


def _cpu(host: HostConfig) -> Json:
    cpu: Json = {}
    if host.nano_cpus:
        cpu |= {"period": CPU_PERIOD, "quota": host.nano_cpus * CPU_PERIOD // 1_000_000_000}
    found = {
        "period": host.cpu_period,
        "quota": host.cpu_quota,
        "shares": host.cpu_shares,
        "cpus": host.cpuset_cpus,
        "mems": host.cpuset_mems,
        "realtimePeriod": host.cpu_realtime_period,
        "realtimeRuntime": host.cpu_realtime_runtime,
    }
    return cpu | {name: value for name, value in found.items() if value}


def _block_io(host: HostConfig) -> Json:
    found: Json = {
        "weight": host.blkio_weight,
        "weightDevice": _devices(host.blkio_weight_device),
        "throttleReadBpsDevice": _devices(host.blkio_device_read_bps),
        "throttleWriteBpsDevice": _devices(host.blkio_device_write_bps),
        "throttleReadIOPSDevice": _devices(host.blkio_device_read_iops),
        "throttleWriteIOPSDevice": _devices(host.blkio_device_write_iops),
    }
    return {name: value for name, value in found.items() if value}


def _devices(entries: Iterable[WeightDevice | ThrottleDevice] | None) -> list[Json]:
    return [_device(entry) for entry in entries or ()]


def _device(entry: WeightDevice | ThrottleDevice) -> Json:
    """The kernel knows devices by number; the path is looked up at each start, as numbers change over a reboot."""
    try:
        number = os.stat(entry.path).st_rdev
    except OSError as error:
        raise EngineError(f"stat {entry.path}: {str(error.strerror).lower()}") from None
    place: Json = {"major": os.major(number), "minor": os.minor(number)}
    match entry:
        case WeightDevice():
            return place | {"weight": entry.weight}
        case ThrottleDevice():
            return place | {"rate": entry.rate}
