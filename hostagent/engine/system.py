"""Facts about this host and engine, for `version` and `info`: true ones, read from the kernel."""

from __future__ import annotations

import os
import platform
import socket
import sys
import time

from hostagent import VERSION
from hostagent.engine.container import Container
from hostagent.engine.timestamps import timestamp
from hostagent.kernel.cgroup_support import Support
from hostagent.wire import (
    ComponentVersion,
    IndexInfo,
    Info,
    PlatformName,
    Plugins,
    RegistryConfig,
    Runtime,
    Version,
)

API_VERSION = "1.47"
MIN_API_VERSION = "1.24"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def version() -> Version:
    """Answer of GET /version."""
    release = platform.release()
    architecture = ARCHITECTURES.get(platform.machine(), platform.machine())
    return Version(
        platform=PlatformName(name="pymachine hostagent"),
        components=[
            ComponentVersion(
                name="Engine",
                version=VERSION,
                details={
                    "ApiVersion": API_VERSION,
                    "MinAPIVersion": MIN_API_VERSION,
                    "Os": "linux",
                    "Arch": architecture,
                    "KernelVersion": release,
                    "PythonVersion": platform.python_version(),
                },
            )
        ],
        version=VERSION,
        api_version=API_VERSION,
        min_api_version=MIN_API_VERSION,
        os="linux",
        arch=architecture,
        kernel_version=release,
    )


def info(
    engine_id: str,
    containers: list[Container],
    images: int,
    root: str,
    listeners: int,
    mirrors: list[str],
    insecure: list[str],
    limits: Support,
) -> Info:
    """Answer of GET /info."""
    states = [container.state.status for container in containers]
    running = sum(state in ("running", "restarting") for state in states)
    paused = states.count("paused")
    forwarding = _read("/proc/sys/net/ipv4/ip_forward") == "1"
    warnings = limit_warnings(limits)
    if not forwarding:
        warnings.append("WARNING: IPv4 forwarding is disabled")
    return Info(
        id=engine_id,
        containers=len(states),
        containers_running=running,
        containers_paused=paused,
        containers_stopped=len(states) - running - paused,
        images=images,
        driver="overlay2",
        driver_status=[("Backing Filesystem", _file_system(root)), ("Native Overlay Diff", "true")],
        plugins=Plugins(volume=[], network=["bridge", "host", "null"], log=["json-file", "none"]),
        memory_limit=limits.memory,
        swap_limit=limits.memory_swap,
        cpu_cfs_period=limits.cpu_quota,
        cpu_cfs_quota=limits.cpu_quota,
        cpu_shares=limits.cpu_shares,
        cpu_set=limits.cpuset,
        pids_limit=limits.pids,
        oom_kill_disable=limits.oom_kill_disable,
        ipv4_forwarding=forwarding,
        n_fd=len(os.listdir("/proc/self/fd")),
        system_time=timestamp(time.time_ns()),
        cgroup_driver="cgroupfs",
        cgroup_version="2" if limits.unified else "1",
        n_events_listener=listeners,
        kernel_version=platform.release(),
        operating_system=_os_release("PRETTY_NAME"),
        os_version=_os_release("VERSION_ID"),
        architecture=platform.machine(),
        registry_config=RegistryConfig(
            insecure_registry_cidrs=["127.0.0.0/8"],
            mirrors=mirrors,
            index_configs={
                "docker.io": IndexInfo(name="docker.io", mirrors=mirrors, official=True),
                **{host: IndexInfo(name=host, secure=False) for host in insecure},
            },
        ),
        n_cpu=os.cpu_count() or 1,
        mem_total=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        docker_root_dir=root,
        http_proxy=os.environ.get("HTTP_PROXY", ""),
        https_proxy=os.environ.get("HTTPS_PROXY", ""),
        no_proxy=os.environ.get("NO_PROXY", ""),
        name=socket.gethostname(),
        labels=[],
        server_version=VERSION,
        runtimes={"runc": Runtime(path=f"{sys.executable} -m hostagent.runtime")},
        default_runtime="runc",
        live_restore_enabled=True,
        security_options=["name=seccomp,profile=builtin", "name=cgroupns"],
        warnings=warnings or None,
    )


def limit_warnings(limits: Support) -> list[str]:
    """A line for each limit that this host cannot set, in Docker's words (oom_kill_disable has none on v2)."""
    lacks = [
        (limits.memory, "memory limit"),
        (limits.memory_swap, "swap limit"),
        (limits.oom_kill_disable or limits.unified, "oom kill disable"),
        (limits.cpu_quota, "cpu cfs quota"),
        (limits.cpu_quota, "cpu cfs period"),
        (limits.cpu_shares, "cpu shares"),
        (limits.cpuset, "cpuset"),
        (limits.blkio_weight or not limits.unified, "io.weight"),
        (limits.blkio_weight_device or not limits.unified, "io.weight (per device)"),
        (limits.blkio_read_bps, "io.max (rbps)" if limits.unified else "blkio throttle.read_bps_device"),
        (limits.blkio_write_bps, "io.max (wbps)" if limits.unified else "blkio throttle.write_bps_device"),
        (limits.blkio_read_iops, "io.max (riops)" if limits.unified else "blkio throttle.read_iops_device"),
        (limits.blkio_write_iops, "io.max (wiops)" if limits.unified else "blkio throttle.write_iops_device"),
    ]
    return [f"WARNING: No {what} support" for there, what in lacks if not there]


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""


def _os_release(key: str) -> str:
    try:
        return platform.freedesktop_os_release().get(key, "")
    except OSError:
        return ""


def _file_system(path: str) -> str:
    """The type of the file system that holds `path`, from proc(5) mountinfo: the longest mount point wins."""
    best, kind = "", "unknown"
    with open("/proc/self/mountinfo") as file:
        for line in file:
            fields, _, tail = line.partition(" - ")
            point = fields.split()[4]
            if len(point) >= len(best) and (path == point or path.startswith(point.rstrip("/") + "/")):
                best, kind = point, tail.split()[0]
    return kind
