"""Which limits this host can set at all, asked from the files of a group below which containers are made."""

from __future__ import annotations

import os
from dataclasses import dataclass

from hostagent.kernel import control_file
from hostagent.kernel.cgroup import Cgroup
from hostagent.kernel.cgroup_mounts import Hierarchy


@dataclass(frozen=True)
class Support:
    """True for a limit that can be set. `cpus` and `mems` are cpuset(7) lists of what there is to give."""

    unified: bool
    """Whether the limits are cgroup v2's."""
    memory: bool = False
    memory_swap: bool = False
    memory_reservation: bool = False
    memory_swappiness: bool = False
    oom_kill_disable: bool = False
    pids: bool = False
    cpu_shares: bool = False
    cpu_quota: bool = False
    cpu_realtime: bool = False
    cpuset: bool = False
    blkio_weight: bool = False
    blkio_weight_device: bool = False
    blkio_read_bps: bool = False
    blkio_write_bps: bool = False
    blkio_read_iops: bool = False
    blkio_write_iops: bool = False
    cpus: str = ""
    mems: str = ""


def support(group: Cgroup) -> Support:
    """What children of `group`'s parent can have; `group` exists, so that files which the root lacks are seen."""
    places = {
        name: group.directory(tree) for tree in group.trees for name in tree.controllers if not tree.unified
    }
    unified = next((group.directory(tree) for tree in group.trees if tree.unified), None)
    if "memory" not in places and "cpu" not in places and unified is not None:
        return _version2(unified)
    return _version1(places)


def limits_are_unified(trees: tuple[Hierarchy, ...]) -> bool:
    """Whether the controllers of limits are v2's: with both mounted, v1's when it has them."""
    legacy = {name for tree in trees for name in tree.controllers}
    return any(tree.unified for tree in trees) and not legacy & {"memory", "cpu"}


def _version1(places: dict[str, str]) -> Support:
    def has(controller: str, *files: str) -> bool:
        return controller in places and any(
            os.path.exists(f"{places[controller]}/{file}") for file in files or ("cgroup.procs",)
        )

    return Support(
        unified=False,
        memory=has("memory"),
        memory_swap=has("memory", "memory.memsw.limit_in_bytes"),
        memory_reservation=has("memory", "memory.soft_limit_in_bytes"),
        memory_swappiness=has("memory", "memory.swappiness"),
        oom_kill_disable=has("memory", "memory.oom_control"),
        pids=has("pids"),
        cpu_shares=has("cpu", "cpu.shares"),
        cpu_quota=has("cpu", "cpu.cfs_quota_us"),
        cpu_realtime=has("cpu", "cpu.rt_runtime_us"),
        cpuset=has("cpuset"),
        blkio_weight=has("blkio", "blkio.weight", "blkio.bfq.weight"),
        blkio_weight_device=has("blkio", "blkio.weight_device", "blkio.bfq.weight_device"),
        blkio_read_bps=has("blkio", "blkio.throttle.read_bps_device"),
        blkio_write_bps=has("blkio", "blkio.throttle.write_bps_device"),
        blkio_read_iops=has("blkio", "blkio.throttle.read_iops_device"),
        blkio_write_iops=has("blkio", "blkio.throttle.write_iops_device"),
        cpus=_text(f"{places['cpuset']}/cpuset.cpus") if "cpuset" in places else "",
        mems=_text(f"{places['cpuset']}/cpuset.mems") if "cpuset" in places else "",
    )


def _version2(directory: str) -> Support:
    controllers = set(_text(f"{directory}/cgroup.controllers").split())
    block = "io" in controllers
    return Support(
        unified=True,
        memory="memory" in controllers,
        memory_swap=os.path.exists(f"{directory}/memory.swap.max"),
        memory_reservation="memory" in controllers,
        pids="pids" in controllers,
        cpu_shares="cpu" in controllers,
        cpu_quota="cpu" in controllers,
        cpuset="cpuset" in controllers,
        blkio_weight=os.path.exists(f"{directory}/io.bfq.weight") or os.path.exists(f"{directory}/io.weight"),
        blkio_weight_device=os.path.exists(f"{directory}/io.bfq.weight"),
        blkio_read_bps=block,
        blkio_write_bps=block,
        blkio_read_iops=block,
        blkio_write_iops=block,
        cpus=_text(f"{directory}/cpuset.cpus.effective"),
        mems=_text(f"{directory}/cpuset.mems.effective"),
    )


def _text(path: str) -> str:
    try:
        return control_file.read(path).strip()
    except OSError:
        return ""
