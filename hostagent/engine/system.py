"""Facts about this host and engine, for `version` and `info`: true ones, read from the kernel."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from hostagent import VERSION
from hostagent.engine.container import Container
from hostagent.engine.logs import logdrivers
from hostagent.engine.networks.portwarnings import PortWarnings
from hostagent.engine.timestamps import timestamp
from hostagent.kernel import lsm
from hostagent.kernel.cgroup_support import Support
from hostagent.volume.volume import LOCAL
from hostagent.wire import (
    Commit,
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
_ABSENT = Commit(id="N/A", expected="N/A")
"""Of a helper program that this engine does not have, in dockerd's word for one it cannot find."""
# What storage drivers call a file system that mountinfo names otherwise.
_FILE_SYSTEMS = {"ext2": "extfs", "ext3": "extfs", "ext4": "extfs", "overlay": "overlayfs"}
# The lines under `docker info`: what Support calls a limit, what dockerd does, on v1 and on v2 ("" = not told there).
_LIMITS = (
    ("memory", "memory limit", "memory limit"),
    ("memory_swap", "swap limit", "swap limit"),
    ("oom_kill_disable", "oom kill disable", ""),
    ("cpu_quota", "cpu cfs quota", "cpu cfs quota"),
    ("cpu_quota", "cpu cfs period", "cpu cfs period"),
    ("cpu_shares", "cpu shares", "cpu shares"),
    ("cpuset", "cpuset", "cpuset"),
    ("blkio_weight", "", "io.weight"),
    ("blkio_weight_device", "", "io.weight (per device)"),
    ("blkio_read_bps", "blkio throttle.read_bps_device", "io.max (rbps)"),
    ("blkio_write_bps", "blkio throttle.write_bps_device", "io.max (wbps)"),
    ("blkio_read_iops", "blkio throttle.read_iops_device", "io.max (riops)"),
    ("blkio_write_iops", "blkio throttle.write_iops_device", "io.max (wiops)"),
)


class System:
    """This engine on this host."""

    def __init__(
        self,
        root: str,
        engine_id: str,
        support: Support,
        mirrors: Sequence[str],
        insecure: Sequence[str],
        log_driver: str,
        port_warnings: PortWarnings,
    ) -> None:
        self._root = root
        self._id = engine_id
        self._support = support
        self._mirrors = list(mirrors)
        self._insecure = list(insecure)
        self._log_driver = log_driver
        self._port_warnings = port_warnings

    @staticmethod
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
                        "Experimental": "false",
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

    def info(self, containers: Sequence[Container], images: int, listeners: int) -> Info:
        """Answer of GET /info; called in the event loop."""
        states = [container.state.status for container in containers]
        running, paused = states.count("running"), states.count("paused")
        can = self._support
        forwarding = _is_on("/proc/sys/net/ipv4/ip_forward")
        # Not that bridges bypass iptables, as dockerd says: nothing of ours needs them to pass it.
        warnings = limit_warnings(can)
        if not forwarding:
            warnings.append("WARNING: IPv4 forwarding is disabled")
        warnings += self._port_warnings.general()
        return Info(
            id=self._id,
            containers=len(states),
            containers_running=running,
            containers_paused=paused,
            containers_stopped=len(states) - running - paused,
            images=images,
            driver="overlay2",
            driver_status=_driver_status(self._root),
            plugins=Plugins(volume=[LOCAL], network=["bridge", "host", "null"], log=list(logdrivers.DRIVERS)),
            memory_limit=can.memory,
            swap_limit=can.memory_swap,
            oom_kill_disable=can.oom_kill_disable,
            cpu_cfs_period=can.cpu_quota,
            cpu_cfs_quota=can.cpu_quota,
            cpu_shares=can.cpu_shares,
            cpu_set=can.cpuset,
            pids_limit=can.pids,
            ipv4_forwarding=forwarding,
            bridge_nf_iptables=_is_on("/proc/sys/net/bridge/bridge-nf-call-iptables"),
            bridge_nf_ip6tables=_is_on("/proc/sys/net/bridge/bridge-nf-call-ip6tables"),
            debug=logging.getLogger("hostagent").isEnabledFor(logging.DEBUG),
            n_fd=len(os.listdir("/proc/self/fd")),
            n_goroutines=len(asyncio.all_tasks()),
            system_time=timestamp(time.time_ns()),
            logging_driver=self._log_driver,
            cgroup_driver="cgroupfs",
            cgroup_version="2" if can.unified else "1",
            n_events_listener=listeners,
            kernel_version=platform.release(),
            operating_system=_os_release("PRETTY_NAME"),
            os_version=_os_release("VERSION_ID"),
            architecture=platform.machine(),
            registry_config=self._registries(),
            n_cpu=os.cpu_count() or 1,
            mem_total=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            docker_root_dir=self._root,
            http_proxy=masked(_variable(os.environ, "HTTP_PROXY")),
            https_proxy=masked(_variable(os.environ, "HTTPS_PROXY")),
            no_proxy=_variable(os.environ, "NO_PROXY"),
            name=socket.gethostname(),
            labels=[],
            server_version=VERSION,
            runtimes={"runc": Runtime(path=f"{sys.executable} -m hostagent.runtime")},
            default_runtime="runc",
            live_restore_enabled=True,
            init_binary="built in",
            containerd_commit=_ABSENT,
            runc_commit=_ABSENT,
            init_commit=_ABSENT,
            security_options=_security_options(),
            warnings=warnings or None,
        )

    def _registries(self) -> RegistryConfig:
        return RegistryConfig(
            insecure_registry_cidrs=[*(each for each in self._insecure if "/" in each), "127.0.0.0/8"],
            mirrors=self._mirrors or None,
            index_configs={
                "docker.io": IndexInfo(name="docker.io", mirrors=self._mirrors, official=True),
                **{host: IndexInfo(name=host, secure=False) for host in self._insecure if "/" not in host},
            },
        )


def limit_warnings(support: Support) -> list[str]:
    """A line for each limit that this host cannot set, as dockerd has it."""
    missing = [
        on_v2 if support.unified else on_v1
        for name, on_v1, on_v2 in _LIMITS
        if not getattr(support, name) and (on_v2 if support.unified else on_v1)
    ]
    return [f"WARNING: No {what} support" for what in missing]


def masked(proxy: str) -> str:
    """A proxy's URL without its user and password, as Docker hides them."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return proxy
    return parts._replace(netloc=f"xxxxx:xxxxx@{parts.netloc.rpartition('@')[2]}").geturl()


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.lower(), "")


def _driver_status(root: str) -> list[tuple[str, str]]:
    """Of the overlay on `root`'s file system; one without d_type could not be mounted at all."""
    kind = _file_system(root)
    metacopy = _is_on("/sys/module/overlay/parameters/metacopy")
    return [
        ("Backing Filesystem", _FILE_SYSTEMS.get(kind, kind)),
        ("Supports d_type", "true"),
        ("Using metacopy", str(metacopy).lower()),
        ("Native Overlay Diff", "true"),
        ("userxattr", "false"),
    ]


def _is_on(path: str) -> bool:
    try:
        with open(path) as file:
            return file.read().strip() in ("1", "Y")
    except FileNotFoundError:
        return False


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


def _security_options() -> list[str]:
    """What stands around every container, in dockerd's order."""
    apparmor = ["name=apparmor"] if lsm.apparmor_enabled() else []
    return [*apparmor, "name=seccomp,profile=builtin", "name=cgroupns"]
