"""Limits in a create or update body: what is wrong is Invalid, what this host lacks is discarded, in Docker's words."""

from __future__ import annotations

import os
from dataclasses import dataclass

from msgspec.structs import replace

from hostagent.engine.limits.cpulist import within
from hostagent.errors import EngineError, Invalid
from hostagent.kernel.cgroup_support import Support
from hostagent.runtime import rights
from hostagent.wire import HostConfig

MEMORY_MINIMUM = 6 * 1024 * 1024
CPU_PERIODS = range(1_000, 1_000_001)
"""Microseconds, from the kernel's sched-bwc documentation."""
CPU_QUOTA_MINIMUM = 1_000
CPU_SHARES_MAXIMUM = 262_144
"""The kernel brings what is beyond to the nearest in silence (kernel/sched/sched.h)."""
BLKIO_WEIGHTS = range(10, 1_001)
SWAPPINESS = range(101)
OOM_SCORES = range(-1000, 1001)

_NO_CGROUP = "Your kernel does not support {} or the cgroup is not mounted. {} discarded."
_BLOCK_IO = (
    # field, what Support calls it, the warning
    (
        "blkio_weight_device",
        "blkio_weight_device",
        _NO_CGROUP.format("Block I/O weight_device", "Weight-device"),
    ),
    (
        "blkio_device_read_bps",
        "blkio_read_bps",
        _NO_CGROUP.format("BPS Block I/O read limit", "Block I/O BPS read limit"),
    ),
    (
        "blkio_device_write_bps",
        "blkio_write_bps",
        _NO_CGROUP.format("BPS Block I/O write limit", "Block I/O BPS write limit"),
    ),
    (
        "blkio_device_read_iops",
        "blkio_read_iops",
        _NO_CGROUP.format("IOPS Block read limit", "Block I/O IOPS read limit"),
    ),
    (
        "blkio_device_write_iops",
        "blkio_write_iops",
        _NO_CGROUP.format("IOPS Block write limit", "Block I/O IOPS write limit"),
    ),
)


@dataclass(frozen=True)
class Checked:
    """What is left of a body, and what a person should know about the rest."""

    host: HostConfig
    warnings: tuple[str, ...]


class Limits:
    """The rules for one host."""

    def __init__(self, support: Support) -> None:
        self.support = support

    def check(self, host: HostConfig, update: bool = False) -> Checked:
        """Raises Invalid for the first limit that is wrong. An `update` may lack what is set already."""
        for value, what in ((host.io_maximum_bandwidth, "bandwidth"), (host.io_maximum_iops, "IOPs")):
            if value:  # an inner error for Docker, whose clients know it so
                raise EngineError(
                    f"Invalid QoS settings: linux does not support configuration of maximum {what}"
                )
        checking = _Checking(host, self.support)
        checking.memory(update)
        checking.pids()
        checking.cpu()
        checking.cpuset()
        checking.block_io()
        host = checking.host
        if host.shm_size < 0:
            raise Invalid("SHM size can not be less than 0")
        if host.oom_score_adj not in OOM_SCORES:
            raise Invalid(f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]")
        limits = [(limit.name, limit.soft, limit.hard) for limit in host.ulimits or ()]
        clamped = rights.clamps(host.oom_score_adj or None, limits)
        return Checked(host, (*checking.warnings, *clamped))


class _Checking:
    """One body on its way through the rules, in Docker's order."""

    def __init__(self, host: HostConfig, support: Support) -> None:
        self.host, self.support = host, support
        self.warnings: list[str] = []

    def _discard(self, warning: str, **values: object) -> None:
        self.warnings.append(warning)
        self.host = replace(self.host, **values)

    def memory(self, update: bool) -> None:
        self._memory_limit(update)
        self._swappiness()
        host = self.host
        if host.memory_reservation > 0 and not self.support.memory_reservation:
            self._discard(
                "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. "
                "Limitation discarded.",
                memory_reservation=0,
            )
        reservation, limit = self.host.memory_reservation, self.host.memory
        if 0 < reservation < MEMORY_MINIMUM:
            raise Invalid("Minimum memory reservation allowed is 6MB")
        if 0 < limit < reservation:
            raise Invalid("Minimum memory limit can not be less than memory reservation limit, see usage")
        self._kernel_memory()
        self._oom_killer()

    def _memory_limit(self, update: bool) -> None:
        if self.host.memory and self.host.memory < MEMORY_MINIMUM:
            raise Invalid("Minimum memory limit allowed is 6MB")
        if self.host.memory > 0 and not self.support.memory:
            self._discard(
                "Your kernel does not support memory limit capabilities or the cgroup is not mounted. "
                "Limitation discarded.",
                memory=0,
                memory_swap=-1,
            )
        if self.host.memory > 0 and self.host.memory_swap != -1 and not self.support.memory_swap:
            self._discard(
                "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
                "Memory limited without swap.",
                memory_swap=-1,
            )
        memory, swap = self.host.memory, self.host.memory_swap
        if memory > 0 and 0 < swap < memory:
            raise Invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
        if memory == 0 and swap > 0 and not update:
            raise Invalid("You should always set the Memory limit when using Memoryswap limit, see usage")

    def _swappiness(self) -> None:
        if self.host.memory_swappiness == -1:
            self.host = replace(self.host, memory_swappiness=None)
        if self.host.memory_swappiness is None:
            return
        if not self.support.memory_swappiness:
            self._discard(
                "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. "
                "Memory swappiness discarded.",
                memory_swappiness=None,
            )
        elif self.host.memory_swappiness not in SWAPPINESS:
            raise Invalid(
                f"Invalid value: {self.host.memory_swappiness}, valid memory swappiness range is 0-100"
            )

    def _kernel_memory(self) -> None:
        """No kernel since 5.16 has such a limit, and no runtime sets it since runc 1.0."""
        if self.host.kernel_memory > 0:
            self._discard(
                "Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. "
                "Limitation discarded.",
                kernel_memory=0,
            )
        if self.host.kernel_memory_tcp > 0:
            self._discard(
                "Your kernel does not support kernel memory TCP limit capabilities or the cgroup is not mounted. "
                "Limitation discarded.",
                kernel_memory_tcp=0,
            )

    def _oom_killer(self) -> None:
        if not self.host.oom_kill_disable:
            return
        if not self.support.oom_kill_disable:
            self._discard(
                "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
                oom_kill_disable=None,
            )
        elif not self.host.memory:
            self.warnings.append(
                "OOM killer is disabled for the container, but no memory limit is set, this can result in the "
                "system running out of resources."
            )

    def pids(self) -> None:
        limit = self.host.pids_limit
        if limit is None or self.support.pids:
            return
        if limit > 0:
            self.warnings.append(
                "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. "
                "PIDs limit discarded."
            )
        self.host = replace(self.host, pids_limit=None)

    def cpu(self) -> None:
        host = self.host
        if host.nano_cpus > 0 and host.cpu_period > 0:
            raise Invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set")
        if host.nano_cpus > 0 and host.cpu_quota > 0:
            raise Invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
        if host.nano_cpus > 0 and not self.support.cpu_quota:
            raise Invalid(
                "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is "
                "not mounted"
            )
        available = len(os.sched_getaffinity(0))
        if host.nano_cpus < 0 or host.nano_cpus > available * 1_000_000_000:
            raise Invalid(
                f"Range of CPUs is from 0.01 to {available}.00, as there are only {available} CPUs available"
            )
        if host.cpu_shares < 0:
            raise Invalid("shares: invalid argument")
        if not self.support.unified:  # v2 has weights, to which any number of shares can be brought
            if host.cpu_shares == 1:
                raise Invalid("the minimum allowed cpu-shares is 2")
            if host.cpu_shares > CPU_SHARES_MAXIMUM:
                raise Invalid(f"the maximum allowed cpu-shares is {CPU_SHARES_MAXIMUM}")
        if host.cpu_shares > 0 and not self.support.cpu_shares:
            self._discard(_NO_CGROUP.format("CPU shares", "Shares"), cpu_shares=0)
        if (host.cpu_period or host.cpu_quota) and not self.support.cpu_quota:
            self._discard(
                "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.",
                cpu_period=0,
                cpu_quota=0,
            )
        host = self.host
        if host.cpu_period and host.cpu_period not in CPU_PERIODS:
            raise Invalid(
                "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
            )
        if 0 < host.cpu_quota < CPU_QUOTA_MINIMUM:
            raise Invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
        if (host.cpu_realtime_period or host.cpu_realtime_runtime) and not self.support.cpu_realtime:
            self._discard(
                "Your kernel does not support CPU realtime scheduler. CPU realtime period/runtime discarded.",
                cpu_realtime_period=0,
                cpu_realtime_runtime=0,
            )
        if host.cpu_percent > 0:
            self._discard("linux does not support CPU percent. Percent discarded.", cpu_percent=0)
        if host.cpu_count > 0:
            # Shown as it was given, as dockerd does.
            self._discard("linux does not support CPU count. It has no effect.")

    def cpuset(self) -> None:
        if (self.host.cpuset_cpus or self.host.cpuset_mems) and not self.support.cpuset:
            self._discard(
                "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.",
                cpuset_cpus="",
                cpuset_mems="",
            )
        for wanted, there, kind, plural in (
            (self.host.cpuset_cpus, self.support.cpus, "cpus", "CPUs"),
            (self.host.cpuset_mems, self.support.mems, "mems", "memory nodes"),
        ):
            try:
                available = within(wanted, there)
            except ValueError as error:
                raise Invalid(f"Invalid value {wanted} for cpuset {kind}: {error}") from None
            if not available:
                raise Invalid(
                    f"Requested {plural} are not available - requested {wanted}, available: {there}"
                )

    def block_io(self) -> None:
        host = self.host
        if host.blkio_weight > 0 and not self.support.blkio_weight:
            self._discard(_NO_CGROUP.format("Block I/O weight", "Weight"), blkio_weight=0)
        elif host.blkio_weight and host.blkio_weight not in BLKIO_WEIGHTS:
            raise Invalid("Range of blkio weight is from 10 to 1000")
        for field, control, warning in _BLOCK_IO:
            if getattr(self.host, field) and not getattr(self.support, control):
                self._discard(warning, **{field: []})
