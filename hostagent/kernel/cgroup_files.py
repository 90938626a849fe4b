"""Which control files say what a container may use: pure functions from Resources to writes, v1 and v2."""

from __future__ import annotations

from dataclasses import dataclass

from hostagent.kernel.resources import DeviceRule, DeviceValue, HugepageLimit, Resources


@dataclass(frozen=True)
class Write:
    """One value for one file of one controller; `instead` is for kernels that have no such file."""

    controller: str
    file: str
    value: str
    instead: Write | None = None

    def describe(self) -> str:
        return f"cgroup {self.file} = {self.value}"


def writes_v1(resources: Resources) -> tuple[Write, ...]:
    """Order matters: memory before memory+swap, cpu period before quota (kernel docs, cgroup-v1)."""
    r = resources
    found: list[Write] = []

    def add(controller: str, file: str, value: object | None) -> None:
        if value is not None:
            found.append(Write(controller, file, str(value)))

    for rule in r.devices:
        add("devices", "devices.allow" if rule.allow else "devices.deny", _device_v1(rule))
    add("memory", "memory.limit_in_bytes", r.memory_limit)
    add("memory", "memory.soft_limit_in_bytes", r.memory_reservation)
    add("memory", "memory.memsw.limit_in_bytes", r.memory_swap or None)
    add("memory", "memory.swappiness", r.memory_swappiness)
    add("memory", "memory.oom_control", 1 if r.oom_kill_disable else None)
    add("cpu", "cpu.shares", r.cpu_shares or None)
    add("cpu", "cpu.cfs_period_us", r.cpu_period or None)
    add("cpu", "cpu.cfs_quota_us", r.cpu_quota or None)
    add("cpu", "cpu.cfs_burst_us", r.cpu_burst)
    add("cpu", "cpu.rt_period_us", r.cpu_realtime_period or None)
    add("cpu", "cpu.rt_runtime_us", r.cpu_realtime_runtime or None)
    add("cpuset", "cpuset.cpus", r.cpuset_cpus or None)
    add("cpuset", "cpuset.mems", r.cpuset_mems or None)
    if r.pids_limit:
        add("pids", "pids.max", r.pids_limit if r.pids_limit > 0 else "max")
    found += [_hugepages(limit, "limit_in_bytes") for limit in r.hugepages]
    if r.blkio_weight:
        # The CFQ scheduler's file, and that of its successor (Linux 5.0).
        bfq = Write("blkio", "blkio.bfq.weight", str(r.blkio_weight))
        found.append(Write("blkio", "blkio.weight", bfq.value, bfq))
    for value in r.blkio_weight_device:
        bfq = Write("blkio", "blkio.bfq.weight_device", _device_value(value, ""))
        found.append(Write("blkio", "blkio.weight_device", bfq.value, bfq))
    for file, values in (
        ("blkio.throttle.read_bps_device", r.read_bps),
        ("blkio.throttle.write_bps_device", r.write_bps),
        ("blkio.throttle.read_iops_device", r.read_iops),
        ("blkio.throttle.write_iops_device", r.write_iops),
    ):
        for value in values:
            add("blkio", file, _device_value(value, ""))
    return tuple(found)


def writes_v2(resources: Resources) -> tuple[Write, ...]:
    """Devices are not among them: v2 has a BPF program for those (hostagent.kernel.cgroup_devices)."""
    r = resources
    found: list[Write] = []

    def add(controller: str, file: str, value: object | None) -> None:
        if value is not None:
            found.append(Write(controller, file, str(value)))

    add("memory", "memory.max", _size(r.memory_limit))
    add("memory", "memory.low", _size(r.memory_reservation))
    add("memory", "memory.swap.max", swap_v2(r.memory_limit, r.memory_swap))
    if r.cpu_shares:
        add("cpu", "cpu.weight", weight_from_shares(r.cpu_shares))
    if r.cpu_quota or r.cpu_period:
        quota = r.cpu_quota if r.cpu_quota and r.cpu_quota > 0 else "max"
        add("cpu", "cpu.max", f"{quota} {r.cpu_period or 100_000}")
    add("cpu", "cpu.max.burst", r.cpu_burst)
    add("cpuset", "cpuset.cpus", r.cpuset_cpus or None)
    add("cpuset", "cpuset.mems", r.cpuset_mems or None)
    if r.pids_limit:
        add("pids", "pids.max", r.pids_limit if r.pids_limit > 0 else "max")
    found += [_hugepages(limit, "max") for limit in r.hugepages]
    if r.blkio_weight:
        plain = Write("io", "io.weight", str(io_weight(r.blkio_weight)))
        found.append(Write("io", "io.bfq.weight", str(r.blkio_weight), plain))
    for key, values in (
        ("rbps", r.read_bps),
        ("wbps", r.write_bps),
        ("riops", r.read_iops),
        ("wiops", r.write_iops),
    ):
        for value in values:
            add("io", "io.max", _device_value(value, f"{key}="))
    for value in r.blkio_weight_device:
        add("io", "io.bfq.weight", _device_value(value, ""))
    return tuple(found)


def writes_unified(resources: Resources) -> tuple[Write, ...]:
    """Files of v2 that are written as they were given."""
    return tuple(Write(file.partition(".")[0], file, text) for file, text in resources.unified)


def weight_from_shares(shares: int) -> int:
    """cgroup v1 shares (2..262144, default 1024) as v2 weight (1..10000), on the line that OCI runtimes use."""
    return 1 + ((min(max(shares, 2), 262_144) - 2) * 9_999) // 262_142


def io_weight(weight: int) -> int:
    """A blkio weight (10..1000, BFQ's too) as io.weight (1..10000), on the line that OCI runtimes use."""
    return 1 + (max(weight, 10) - 10) * 9_999 // 990


def swap_v2(limit: int | None, swap: int | None) -> str | None:
    """memory.swap.max counts swap alone, where OCI and v1 count memory and swap together."""
    if swap is None or swap == 0:
        return None
    if swap < 0:
        return "max"
    return str(swap - limit) if limit is not None and limit >= 0 else str(swap)


def _hugepages(limit: HugepageLimit, what: str) -> Write:
    return Write("hugetlb", f"hugetlb.{limit.size}.{what}", str(limit.limit))


def _size(value: int | None) -> str | None:
    if value is None:
        return None
    return "max" if value < 0 else str(value)


def _device_value(value: DeviceValue, prefix: str) -> str:
    return f"{value.major}:{value.minor} {prefix}{value.value}"


def _device_v1(rule: DeviceRule) -> str:
    if rule.kind == "a":
        return "a"
    major = "*" if rule.major is None else rule.major
    minor = "*" if rule.minor is None else rule.minor
    return f"{rule.kind} {major}:{minor} {rule.access}"
