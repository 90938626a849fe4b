"""The local host as an OCI bundle: a system container that behaves like a small cloud VM."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

# Everything but what reaches past the namespaces: no kernel modules, raw I/O, clock, or kernel log. SYS_BOOT
# acts on the PID namespace (reboot(2)): it is how systemd's poweroff ends the host.
CAPABILITIES: Final = (
    *(
        "CAP_AUDIT_CONTROL",
        "CAP_AUDIT_WRITE",
        "CAP_BPF",
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_DAC_READ_SEARCH",
    ),
    *(
        "CAP_FOWNER",
        "CAP_FSETID",
        "CAP_IPC_LOCK",
        "CAP_IPC_OWNER",
        "CAP_KILL",
        "CAP_LEASE",
        "CAP_LINUX_IMMUTABLE",
    ),
    *(
        "CAP_MKNOD",
        "CAP_NET_ADMIN",
        "CAP_NET_BIND_SERVICE",
        "CAP_NET_BROADCAST",
        "CAP_NET_RAW",
        "CAP_PERFMON",
    ),
    *(
        "CAP_SETFCAP",
        "CAP_SETGID",
        "CAP_SETPCAP",
        "CAP_SETUID",
        "CAP_SYS_ADMIN",
        "CAP_SYS_BOOT",
        "CAP_SYS_CHROOT",
    ),
    *("CAP_SYS_NICE", "CAP_SYS_PTRACE", "CAP_SYS_RESOURCE", "CAP_SYS_TTY_CONFIG"),
)
# (path, major, minor): the only nodes of the laptop (Linux, Documentation/admin-guide/devices.txt).
DEVICES: Final = (
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
    ("/dev/fuse", 10, 229),
    ("/dev/net/tun", 10, 200),
)
_TERMINALS: Final = ((5, 1), (5, 2), (136, None))  # console, ptmx and the slaves of its own devpts
_MASKED: Final = ("/proc/kcore", "/proc/sysrq-trigger", "/proc/timer_list", "/proc/acpi", "/sys/firmware")
_READ_ONLY: Final = ("/proc/sys", "/proc/irq", "/proc/bus")


@dataclass(frozen=True, kw_only=True)
class HostBundle:
    """Absolute paths. `data` is a plain folder: an overlay's upper directory cannot be on an overlay, so
    images and containers live there, not on the root. `hierarchies`: mount options of cgroup v1, if any.
    """

    hostname: str
    lower: Path
    upper: Path
    work: Path
    data: Path
    cgroup: str
    hierarchies: tuple[str, ...]

    def config(self) -> bytes:
        """config.json (OCI runtime spec 1.1 with the runtime's extension: a mount of "/")."""
        document = {
            "ociVersion": "1.1.0",
            "hostname": self.hostname,
            "root": {"path": "rootfs"},
            "process": {
                "args": ["/sbin/init"],
                "cwd": "/",
                # By this variable systemd knows that it is PID 1 of a container (its CONTAINER_INTERFACE).
                "env": ["container=pymachine", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
                "user": {"uid": 0, "gid": 0},
                "capabilities": dict.fromkeys(
                    ("bounding", "effective", "permitted", "inheritable"), CAPABILITIES
                ),
            },
            "mounts": [_mount(*mount) for mount in self._mounts()],
            "linux": {
                "namespaces": [
                    {"type": kind} for kind in ("mount", "pid", "uts", "ipc", "network", "cgroup")
                ],
                "cgroupsPath": self.cgroup,
                "devices": [
                    {"path": path, "type": "c", "major": major, "minor": minor, "fileMode": 0o666}
                    for path, major, minor in DEVICES
                    if os.path.exists(path)
                ],
                "resources": {"devices": list(_device_rules())},
                "maskedPaths": _MASKED,
                "readonlyPaths": _READ_ONLY,
            },
        }
        return msgspec.json.format(msgspec.json.encode(document), indent=2)

    def _mounts(self) -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
        """(destination, type, source, options), in order."""
        overlay = (f"lowerdir={self.lower}", f"upperdir={self.upper}", f"workdir={self.work}")
        yield "/", "overlay", "overlay", overlay
        yield "/var/lib/pymachine", "bind", str(self.data), ("rbind", "rw")
        yield "/proc", "proc", "proc", ("nosuid", "nodev", "noexec")
        # /proc/sys becomes read-only, but not the mount on top of it: those are of the host's own namespace.
        yield "/proc/sys/net", "bind", "/proc/sys/net", ("bind", "rw")
        yield "/sys", "sysfs", "sysfs", ("nosuid", "nodev", "noexec", "ro")
        yield "/dev", "tmpfs", "tmpfs", ("nosuid", "mode=755", "size=64k")
        yield (
            "/dev/pts",
            "devpts",
            "devpts",
            ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        )
        yield "/dev/shm", "tmpfs", "tmpfs", ("nosuid", "nodev", "mode=1777")
        yield "/run", "tmpfs", "tmpfs", ("nosuid", "nodev", "mode=755")
        yield "/sys/fs/cgroup", "cgroup2", "cgroup2", ("nosuid", "nodev", "noexec", "rw")
        for options in self.hierarchies:
            folder = options.removeprefix("none,name=")
            yield f"/run/cgroup1/{folder}", "cgroup", "cgroup", ("nosuid", "nodev", "noexec", "rw", options)


def hierarchies(cgroups: str, mountinfo: str) -> tuple[str, ...]:
    """Mount options of each cgroup v1 hierarchy that this laptop uses; none on one with v2 alone.

    From the texts of /proc/self/cgroup (cgroups(7)) and /proc/self/mountinfo (proc_pid_mountinfo(5)): the kernel
    goes on listing a hierarchy that is no longer mounted.
    """
    mounted = set()
    for line in mountinfo.splitlines():
        kind, _, options = line.partition(" - ")[2].split(" ", 2)
        if kind == "cgroup":
            mounted.update(options.split(","))
    found = []
    for line in cgroups.splitlines():
        _, controllers, _ = line.split(":", 2)
        if controllers and mounted.issuperset(controllers.split(",")):
            found.append(f"none,{controllers}" if controllers.startswith("name=") else controllers)
    return tuple(sorted(found))


def _device_rules() -> Iterator[dict[str, object]]:
    """Any node may be made (images hold them), only those of DEVICES and terminals may be opened."""
    yield {"allow": False, "access": "rwm"}
    for kind in ("c", "b"):
        yield {"allow": True, "type": kind, "access": "m"}
    for major, minor in (*((major, minor) for _, major, minor in DEVICES), *_TERMINALS):
        number = {"major": major} if minor is None else {"major": major, "minor": minor}
        yield {"allow": True, "type": "c", **number, "access": "rwm"}


def _mount(destination: str, kind: str, source: str, options: tuple[str, ...]) -> dict[str, object]:
    return {"destination": destination, "type": kind, "source": source, "options": options}
