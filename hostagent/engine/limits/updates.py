"""`update`: other limits, or another restart policy, for a container that exists, whether it runs or not."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from hostagent import wire
from hostagent.engine import validate
from hostagent.engine.container import Container
from hostagent.engine.containers import Containers
from hostagent.engine.events import EventBus
from hostagent.engine.life.bundles import Bundles
from hostagent.engine.limits import resources
from hostagent.engine.limits.limits import Limits
from hostagent.errors import Conflict, EngineError
from hostagent.kernel.cgroup import Cgroup
from hostagent.kernel.cgroup_limits import RefusedLimit
from hostagent.runtime.spec_fields import Fields
from hostagent.runtime.spec_resources import resources as parse_resources
from hostagent.wire import HostConfig

TOGETHER = (
    # The kernel takes these in one file, or checks one against the other.
    ("memory", "memory_swap"),
    ("nano_cpus", "cpu_period", "cpu_quota"),
    ("cpu_realtime_period", "cpu_realtime_runtime"),
)
ALONE = ("blkio_weight", "cpu_shares", "cpuset_cpus", "cpuset_mems", "memory_reservation", "pids_limit")
CHANGEABLE = (*(field for group in TOGETHER for field in group), *ALONE)
FIXED = (
    *("blkio_weight_device", "blkio_device_read_bps", "blkio_device_write_bps", "blkio_device_read_iops"),
    *("blkio_device_write_iops", "cgroup_parent", "devices", "device_cgroup_rules", "device_requests"),
    *("memory_swappiness", "oom_kill_disable", "ulimits"),
)
"""Docker takes these in an update too, and does nothing with them."""


@dataclass(frozen=True)
class Change:
    """`host` is the container's whole new configuration; `written` has only what the kernel is to be told."""

    host: HostConfig
    written: HostConfig


def change(host: HostConfig, wanted: HostConfig) -> Change:
    """Docker's merge: a field that is not given stays. Conflict for what contradicts what is set already."""
    _check_cpu(host, wanted)
    if wanted.memory and wanted.memory > host.memory_swap and not wanted.memory_swap:
        raise Conflict(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
    policy = wanted.restart_policy
    if policy.name and host.auto_remove and policy.name != "no":
        raise Conflict("Restart policy cannot be updated because AutoRemove is enabled for the container")
    given = {field: value for field in CHANGEABLE if (value := getattr(wanted, field)) not in (0, "", None)}
    if wanted.pids_limit is not None:
        given["pids_limit"] = wanted.pids_limit
    merged = replace(host, **given, restart_policy=policy if policy.name else host.restart_policy)
    written = set(given)
    for group in TOGETHER:
        if written & set(group):
            written |= set(group)
    return Change(merged, replace(HostConfig(), **{field: getattr(merged, field) for field in written}))


def _check_cpu(host: HostConfig, wanted: HostConfig) -> None:
    for new, new_name, old, old_name in (
        (wanted.nano_cpus, "Nano CPUs", host.cpu_period, "CPU Period"),
        (wanted.nano_cpus, "Nano CPUs", host.cpu_quota, "CPU Quota"),
        (wanted.cpu_period, "CPU Period", host.nano_cpus, "NanoCPUs"),
        (wanted.cpu_quota, "CPU Quota", host.nano_cpus, "NanoCPUs"),
    ):
        if new > 0 and old > 0:
            raise Conflict(
                f"Conflicting options: {new_name} cannot be updated as {old_name} has already been set"
            )


class Updates:
    """Checks, writes to the cgroup of a container that runs, and keeps what was asked for its next start."""

    def __init__(self, containers: Containers, bundles: Bundles, events: EventBus, limits: Limits) -> None:
        self._containers = containers
        self._bundles = bundles
        self._events = events
        self._limits = limits

    async def update(self, reference: str, wanted: HostConfig) -> wire.UpdateResult:
        """What is not given in `wanted` stays. On errors nothing has changed."""
        if wanted.pids_limit is not None and wanted.pids_limit <= 0:
            wanted = replace(wanted, pids_limit=0)  # "unlimited"
        validate.check_restart(wanted.restart_policy)
        # What an update cannot change is told, and not checked any further.
        fixed = [field for field in FIXED if getattr(wanted, field)]
        checked = self._limits.check(
            replace(wanted, **{field: getattr(HostConfig(), field) for field in FIXED}), update=True
        )
        warnings = [
            *checked.warnings,
            *(f"{wire.docker_name(field)} cannot be changed by an update. Discarded." for field in fixed),
        ]
        container = self._containers.find(reference)
        try:
            async with container.lock:
                warnings += self._apply(container, checked.host)
        except (EngineError, RefusedLimit) as error:
            kind = type(error) if isinstance(error, EngineError) else EngineError
            raise kind(f"Cannot update container {container.id}: {error}") from None
        self._events.publish("container", "update", container.id, container.event_attributes())
        return wire.UpdateResult(warnings=warnings or None)

    def _apply(self, container: Container, wanted: HostConfig) -> list[str]:
        if container.removing:
            raise EngineError('container is marked for removal and cannot be "update"')
        new = change(container.host, wanted)
        before = container.config
        self._containers.configure(container, replace(before, host_config=new.host))
        if container.state.phase != "running" or new.written == HostConfig():
            return []
        try:
            limits = parse_resources(Fields(resources.limits(new.written), ""))
            return Cgroup(self._bundles.cgroup(container)).change(limits)
        except BaseException:
            self._containers.configure(container, before)
            raise
