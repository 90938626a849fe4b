"""What a cgroup has used as Docker's statistics: which numbers, under which keys. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from hostagent.kernel.cgroup_stats import BlockIO, Cpu, Memory, Usage
from hostagent.wire.stats import (
    BlkioEntry,
    BlkioStats,
    CPUStats,
    CPUUsage,
    MemoryStats,
    NetworkStats,
    PidsStats,
    Stats,
    ThrottlingData,
)

_V1_OWN = (
    *("cache", "rss", "rss_huge", "mapped_file", "dirty", "writeback", "pgpgin", "pgpgout", "pgfault"),
    *("pgmajfault", "inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable"),
)
MEMORY_V1 = (
    *_V1_OWN,
    *("hierarchical_memory_limit", "hierarchical_memsw_limit"),
    *(f"total_{key}" for key in _V1_OWN),
)
MEMORY_V2 = (
    *("anon", "file", "kernel_stack", "slab", "sock", "shmem", "file_mapped", "file_dirty", "file_writeback"),
    *("anon_thp", "inactive_anon", "active_anon", "inactive_file", "active_file", "unevictable"),
    *("slab_reclaimable", "slab_unreclaimable", "pgfault", "pgmajfault", "workingset_refault"),
    *("workingset_activate", "workingset_nodereclaim", "pgrefill", "pgscan", "pgsteal", "pgactivate"),
    *("pgdeactivate", "pglazyfree", "pglazyfreed", "thp_fault_alloc", "thp_collapse_alloc"),
)


def stats(
    usage: Usage, system: tuple[int, int], networks: dict[str, NetworkStats], machine_memory: int, read: str
) -> Stats:
    """One sample. `system`: nanoseconds of all CPUs, and their number; `read`: RFC 3339."""
    current, limit = usage.pids or (0, 0)
    return Stats(
        read=read,
        pids_stats=PidsStats(current=current, limit=limit),
        blkio_stats=_block_io(usage),
        cpu_stats=_cpu(usage.cpu or Cpu(), *system),
        memory_stats=_memory(usage.memory, usage.unified, machine_memory) if usage.memory else MemoryStats(),
        networks=networks,
    )


def _cpu(cpu: Cpu, system: int, online: int) -> CPUStats:
    return CPUStats(
        cpu_usage=CPUUsage(
            total_usage=cpu.total,
            percpu_usage=list(cpu.each),
            usage_in_kernelmode=cpu.kernel,
            usage_in_usermode=cpu.user,
        ),
        system_cpu_usage=system,
        online_cpus=online,
        throttling_data=ThrottlingData(
            periods=cpu.periods, throttled_periods=cpu.throttled_periods, throttled_time=cpu.throttled
        ),
    )


def _memory(memory: Memory, unified: bool, machine_memory: int) -> MemoryStats:
    return MemoryStats(
        usage=memory.usage,
        max_usage=memory.largest,
        stats={key: memory.stat.get(key, 0) for key in (MEMORY_V2 if unified else MEMORY_V1)},
        failcnt=memory.failures,
        limit=min(memory.limit, machine_memory),
    )


def _block_io(usage: Usage) -> BlkioStats:
    if usage.unified:
        return BlkioStats(io_service_bytes_recursive=_entries(usage.io_bytes or ()) or None)
    if usage.io_bytes is None:
        return BlkioStats()
    return BlkioStats(
        io_service_bytes_recursive=_entries(usage.io_bytes),
        io_serviced_recursive=_entries(usage.io_operations or ()),
        # These were the CFQ scheduler's.
        io_queue_recursive=[],
        io_service_time_recursive=[],
        io_wait_time_recursive=[],
        io_merged_recursive=[],
        io_time_recursive=[],
        sectors_recursive=[],
    )


def _entries(found: Iterable[BlockIO]) -> list[BlkioEntry]:
    return [BlkioEntry(major=one.major, minor=one.minor, op=one.kind, value=one.value) for one in found]


def networks(text: str) -> dict[str, NetworkStats]:
    """Interfaces of a /proc/PID/net/dev (proc(5)), but the loopback."""
    found: dict[str, NetworkStats] = {}
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        numbers = [int(part) for part in rest.split()]
        if name.strip() != "lo" and len(numbers) >= 16:
            found[name.strip()] = NetworkStats(
                rx_bytes=numbers[0],
                rx_packets=numbers[1],
                rx_errors=numbers[2],
                rx_dropped=numbers[3],
                tx_bytes=numbers[8],
                tx_packets=numbers[9],
                tx_errors=numbers[10],
                tx_dropped=numbers[11],
            )
    return found


def system_cpu(text: str, ticks_per_second: int) -> tuple[int, int]:
    """Of /proc/stat: nanoseconds of all CPUs together (user to softirq, with idle), and the number of CPUs."""
    total, online = 0, 0
    for line in text.splitlines():
        name, *numbers = line.split()
        if not name.startswith("cpu"):
            break
        if name == "cpu":
            total = sum(int(number) for number in numbers[:7]) * 1_000_000_000 // ticks_per_second
        else:
            online += 1
    return total, online
