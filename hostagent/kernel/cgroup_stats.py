"""What a group has used, read from the files of v1 or v2. The parsing is pure; what a host lacks reads as nothing.

Sources: kernel docs, cgroup-v2.rst and cgroup-v1/{cpuacct,memory,blkio-controller,pids}.rst.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from hostagent.kernel import control_file
from hostagent.kernel.cgroup import Cgroup
from hostagent.kernel.cgroup_support import limits_are_unified

NO_LIMIT = (1 << 64) - 1
"""What "max" is read as."""
_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
"""Nanoseconds."""


@dataclass(frozen=True)
class Cpu:
    """Nanoseconds, and numbers of bandwidth periods. `each` is by CPU; v2 does not count that."""

    total: int = 0
    kernel: int = 0
    user: int = 0
    each: tuple[int, ...] = ()
    periods: int = 0
    throttled_periods: int = 0
    throttled: int = 0


@dataclass(frozen=True)
class Memory:
    """Bytes; `stat` is memory.stat as it stands. `largest` is v1's only; `failures` are hits of the limit."""

    usage: int = 0
    largest: int = 0
    limit: int = 0
    failures: int = 0
    stat: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class BlockIO:
    """Bytes or operations of one kind on one device."""

    major: int
    minor: int
    kind: str
    value: int


@dataclass(frozen=True)
class Usage:
    """None for a controller that this host does not have."""

    unified: bool
    cpu: Cpu | None = None
    memory: Memory | None = None
    pids: tuple[int, int] | None = None
    """Current, limit (v1: 0 without one; v2: NO_LIMIT)."""
    io_bytes: tuple[BlockIO, ...] | None = None
    io_operations: tuple[BlockIO, ...] | None = None


def usage(group: Cgroup) -> Usage:
    """Now. About a dozen small files."""
    if limits_are_unified(group.trees):
        return _usage_v2(next(group.directory(tree) for tree in group.trees if tree.unified))
    return _usage_v1({name: group.directory(tree) for tree in group.trees for name in tree.controllers})


def _usage_v1(places: Mapping[str, str]) -> Usage:
    cpu = memory = pids = io_bytes = io_operations = None
    if account := places.get("cpuacct"):
        throttling = keyed(_text(f"{places['cpu']}/cpu.stat")) if "cpu" in places else {}
        ticks = keyed(_text(f"{account}/cpuacct.stat"))
        cpu = Cpu(
            total=_number(f"{account}/cpuacct.usage"),
            kernel=ticks.get("system", 0) * _TICK,
            user=ticks.get("user", 0) * _TICK,
            each=tuple(int(part) for part in _text(f"{account}/cpuacct.usage_percpu").split()),
            periods=throttling.get("nr_periods", 0),
            throttled_periods=throttling.get("nr_throttled", 0),
            throttled=throttling.get("throttled_time", 0),
        )
    if place := places.get("memory"):
        memory = Memory(
            usage=_number(f"{place}/memory.usage_in_bytes"),
            largest=_number(f"{place}/memory.max_usage_in_bytes"),
            limit=_number(f"{place}/memory.limit_in_bytes"),
            failures=_number(f"{place}/memory.failcnt"),
            stat=keyed(_text(f"{place}/memory.stat")),
        )
    if place := places.get("pids"):
        limit = _number(f"{place}/pids.max")
        pids = (_number(f"{place}/pids.current"), 0 if limit == NO_LIMIT else limit)
    if place := places.get("blkio"):
        io_bytes = block_io_v1(_text(f"{place}/blkio.throttle.io_service_bytes_recursive"))
        io_operations = block_io_v1(_text(f"{place}/blkio.throttle.io_serviced_recursive"))
    return Usage(False, cpu, memory, pids, io_bytes, io_operations)


def _usage_v2(directory: str) -> Usage:
    controllers = set(_text(f"{directory}/cgroup.controllers").split())
    stat = keyed(_text(f"{directory}/cpu.stat"))  # there in every group, in part, even without the controller
    cpu = Cpu(
        total=stat.get("usage_usec", 0) * 1000,
        kernel=stat.get("system_usec", 0) * 1000,
        user=stat.get("user_usec", 0) * 1000,
        periods=stat.get("nr_periods", 0),
        throttled_periods=stat.get("nr_throttled", 0),
        throttled=stat.get("throttled_usec", 0) * 1000,
    )
    memory = pids = io_bytes = None
    if "memory" in controllers:
        memory = Memory(
            usage=_number(f"{directory}/memory.current"),
            limit=_number(f"{directory}/memory.max"),
            failures=control_file.counter(f"{directory}/memory.events", "oom"),
            stat=keyed(_text(f"{directory}/memory.stat")),
        )
    if "pids" in controllers:
        pids = (_number(f"{directory}/pids.current"), _number(f"{directory}/pids.max"))
    if "io" in controllers:
        io_bytes = block_io_v2(_text(f"{directory}/io.stat"))
    return Usage(True, cpu, memory, pids, io_bytes)


def keyed(text: str) -> dict[str, int]:
    """Lines of "key number"."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def block_io_v1(text: str) -> tuple[BlockIO, ...]:
    """Lines of "8:0 Read 4096", and a sum of all, which is left out."""
    found = []
    for line in text.splitlines():
        parts = line.split()
        if len(parts) == 3 and (device := _device(parts[0])):
            found.append(BlockIO(*device, parts[1], int(parts[2])))
    return tuple(found)


def block_io_v2(text: str) -> tuple[BlockIO, ...]:
    """Lines of "8:0 rbytes=1 wbytes=2 rios=3 ...": what was read and written, in bytes."""
    found = []
    for line in text.splitlines():
        first, *rest = line.split() or [""]
        numbers = dict(part.split("=", 1) for part in rest if "=" in part)
        if (device := _device(first)) and {"rbytes", "wbytes"} <= numbers.keys():
            found.append(BlockIO(*device, "read", int(numbers["rbytes"])))
            found.append(BlockIO(*device, "write", int(numbers["wbytes"])))
    return tuple(found)


def _device(text: str) -> tuple[int, int] | None:
    major, colon, minor = text.partition(":")
    return (int(major), int(minor)) if colon and major.isdigit() and minor.isdigit() else None


def _number(path: str) -> int:
    text = _text(path).strip()
    return NO_LIMIT if text == "max" else int(text or 0)


def _text(path: str) -> str:
    try:
        return control_file.read(path)
    except OSError:  # another kernel, or the group has gone meanwhile
        return ""
