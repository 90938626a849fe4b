"""Limits in a create body: what the kernel or Docker would not take is Invalid, in Docker's words."""

from __future__ import annotations

import os

from hostagent.errors import Invalid
from hostagent.wire import HostConfig

MEMORY_MINIMUM = 6 * 1024 * 1024
CPU_PERIODS = range(1_000, 1_000_001)
"""Microseconds, from the kernel's sched-bwc documentation."""
CPU_QUOTA_MINIMUM = 1_000
OOM_SCORES = range(-1000, 1001)


def check(host: HostConfig) -> None:
    """Raise for the first limit that is wrong."""
    _check_memory(host)
    _check_cpu(host)
    if host.shm_size < 0:
        raise Invalid("SHM size can not be less than 0")
    if host.oom_score_adj not in OOM_SCORES:
        raise Invalid(f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]")


def _check_memory(host: HostConfig) -> None:
    if host.memory and host.memory < MEMORY_MINIMUM:
        raise Invalid("Minimum memory limit allowed is 6MB")
    if host.memory_swap > 0 and host.memory <= 0:
        raise Invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
    if 0 < host.memory_swap < host.memory:
        raise Invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
    if 0 < host.memory_reservation < MEMORY_MINIMUM:
        raise Invalid("Minimum memory reservation allowed is 6MB")
    if 0 < host.memory < host.memory_reservation:
        raise Invalid("Minimum memory limit can not be less than memory reservation limit, see usage")


def _check_cpu(host: HostConfig) -> None:
    available = os.cpu_count() or 1
    if host.nano_cpus:
        if host.cpu_quota or host.cpu_period:
            raise Invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set")
        if host.nano_cpus < 0 or host.nano_cpus > available * 1_000_000_000:
            raise Invalid(
                f"Range of CPUs is from 0.01 to {available}.00, as there are only {available} CPUs available"
            )
    if host.cpu_period and host.cpu_period not in CPU_PERIODS:
        raise Invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < host.cpu_quota < CPU_QUOTA_MINIMUM:
        raise Invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    _check_cpuset(host.cpuset_cpus, available)


def _check_cpuset(text: str, available: int) -> None:
    """A list of numbers and ranges, "0-2,5", as in cpuset(7)."""
    numbers: list[int] = []
    for part in filter(None, text.split(",")):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise Invalid(f"Invalid value {text} for cpuset cpus: invalid format: {text}")
        numbers += (int(first), int(last or first))
    if numbers and max(numbers) >= available:
        raise Invalid(f"Requested CPUs are not available - requested {text}, available: 0-{available - 1}")
