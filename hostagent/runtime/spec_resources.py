"""linux.resources of a config.json as the kernel layer's `Resources`."""

from __future__ import annotations

import re

from hostagent.errors import Invalid, Unsupported
from hostagent.kernel.resources import DeviceRule, DeviceValue, HugepageLimit, Resources
from hostagent.runtime.spec_fields import Fields

_PAGE_SIZE = re.compile(r"[1-9][0-9]*[KMG]B")


def resources(entry: Fields) -> Resources:
    for name in ("network", "rdma"):
        if entry.has(name):
            raise Unsupported(f"config.json: {entry.name(name)} is not supported")
    memory, cpu, block = entry.child("memory"), entry.child("cpu"), entry.child("blockIO")
    return Resources(
        memory_limit=memory.number("limit"),
        memory_reservation=memory.number("reservation"),
        memory_swap=memory.number("swap"),
        memory_swappiness=memory.number("swappiness"),
        oom_kill_disable=memory.boolean("disableOOMKiller"),
        cpu_shares=cpu.number("shares"),
        cpu_quota=cpu.number("quota"),
        cpu_period=cpu.number("period"),
        cpu_burst=cpu.number("burst"),
        cpu_realtime_runtime=cpu.number("realtimeRuntime"),
        cpu_realtime_period=cpu.number("realtimePeriod"),
        cpuset_cpus=cpu.string("cpus"),
        cpuset_mems=cpu.string("mems"),
        pids_limit=entry.child("pids").number("limit"),
        blkio_weight=block.number("weight"),
        blkio_weight_device=_values(block, "weightDevice", "weight"),
        read_bps=_values(block, "throttleReadBpsDevice", "rate"),
        write_bps=_values(block, "throttleWriteBpsDevice", "rate"),
        read_iops=_values(block, "throttleReadIOPSDevice", "rate"),
        write_iops=_values(block, "throttleWriteIOPSDevice", "rate"),
        devices=tuple(_rule(rule) for rule in entry.children("devices")),
        hugepages=tuple(_hugepages(item) for item in entry.children("hugepageLimits")),
        unified=tuple(_unified(entry)),
    )


def device_number(entry: Fields) -> tuple[int, int]:
    major, minor = entry.number("major"), entry.number("minor")
    if major is None or minor is None or major < 0 or minor < 0:
        raise Invalid(f"config.json: {entry.name('')} needs a major and a minor device number")
    return major, minor


def _values(entry: Fields, key: str, number: str) -> tuple[DeviceValue, ...]:
    return tuple(DeviceValue(*device_number(item), item.number(number) or 0) for item in entry.children(key))


def _hugepages(entry: Fields) -> HugepageLimit:
    size, limit = entry.string("pageSize") or "", entry.number("limit")
    if not _PAGE_SIZE.fullmatch(size) or limit is None or limit < 0:
        raise Invalid(f'config.json: {entry.name("")} needs a pageSize such as "2MB" and a limit in bytes')
    return HugepageLimit(size, limit)


def _rule(entry: Fields) -> DeviceRule:
    kind, access = entry.string("type") or "a", entry.string("access") or "rwm"
    if kind not in {"a", "b", "c"} or not set(access) <= set("rwm"):
        raise Invalid(f"config.json: {entry.name('')}: type must be a, b or c, access of the letters r, w, m")
    return DeviceRule(entry.boolean("allow"), kind, _any(entry, "major"), _any(entry, "minor"), access)


def _any(entry: Fields, key: str) -> int | None:
    """The spec writes -1 or nothing for every number."""
    number = entry.number(key)
    return None if number is None or number < 0 else number


def _unified(entry: Fields) -> list[tuple[str, str]]:
    found = []
    for file, value in entry.mapping("unified").items():
        if not isinstance(value, str) or "/" in file or "." not in file:
            raise Invalid(
                f"config.json: {entry.name('unified')}.{file} must be a control file's name and a string"
            )
        found.append((file, value))
    return found
