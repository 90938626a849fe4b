"""From a container's configuration to the OCI bundle's config.json. Pure: the same input gives the same bytes.

Values that a Docker user relies on (mount options, masked paths, default devices and capabilities) are Docker's.
Source: OCI runtime-spec 1.1, and what `docker inspect` and /proc/mounts show in a container of dockerd 26.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from hostagent.engine.mountspec import BindMount, TmpfsMount
from hostagent.wire import ContainerCreate, HostConfig

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHM = 64 * 1024 * 1024

MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

DEVICES = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, None), (10, 200))
"""null zero full random urandom tty console ptmx pts tun: what a container may use beside making nodes."""

NETWORK_SYSCTLS = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
"""Ports below 1024 and ping for every user inside, as Docker has it since 20.10."""
UNLIMITED = 2**64 - 1

Json = dict[str, object]


def device_rules() -> list[Json]:
    """The device cgroup: nothing, then mknod of everything, then use of the harmless ones."""
    rules: list[Json] = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "access": "m"},
        {"allow": True, "type": "b", "access": "m"},
    ]
    for major, minor in DEVICES:
        rules.append({"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"})
    return rules


@dataclass(frozen=True)
class Bundle:
    """All that config.json is made of, decided beforehand."""

    container_id: str
    config: ContainerCreate
    host: HostConfig
    hostname: str
    args: tuple[str, ...]
    capabilities: tuple[str, ...]
    no_new_privileges: bool
    seccomp_path: str
    """Compiled filter, "" for none."""
    lowerdirs: tuple[str, ...]
    """Top first."""
    directory: str
    binds: tuple[BindMount, ...]
    tmpfs: tuple[TmpfsMount, ...]
    cgroup: str
    limits: Json
    """The rest of linux.resources, beside the devices."""
    cgroup_mounts: tuple[Json, ...]


def render(bundle: Bundle) -> bytes:
    """config.json."""
    host = bundle.host
    namespaces: list[Json] = [{"type": kind} for kind in ("mount", "pid", "uts", "ipc", "cgroup")]
    if host.network_mode != "host":
        namespaces.append({"type": "network"})
    annotations = {"org.pymachine.seccomp": bundle.seccomp_path} if bundle.seccomp_path else {}
    if host.init:
        annotations["org.pymachine.init"] = "true"
    return msgspec.json.encode(
        {
            "ociVersion": "1.1.0",
            "process": process(
                args=bundle.args,
                env=environment(bundle.config, bundle.hostname, bundle.config.tty),
                cwd=bundle.config.working_dir or "/",
                terminal=bundle.config.tty,
                user=bundle.config.user,
                capabilities=bundle.capabilities,
                no_new_privileges=bundle.no_new_privileges,
            )
            | {"rlimits": rlimits(host), "oomScoreAdj": host.oom_score_adj or None},
            "root": {"path": "rootfs", "readonly": host.readonly_rootfs},
            "hostname": bundle.hostname,
            "domainname": bundle.config.domainname or None,
            "mounts": [*_system_mounts(bundle), *_files(bundle), *_user_mounts(bundle)],
            "annotations": annotations,
            "linux": {
                "namespaces": namespaces,
                "cgroupsPath": bundle.cgroup,
                "resources": {"devices": device_rules(), **bundle.limits},
                "maskedPaths": MASKED_PATHS,
                "readonlyPaths": READONLY_PATHS,
                "sysctl": {**(NETWORK_SYSCTLS if host.network_mode != "host" else {}), **host.sysctls},
            },
        }
    )


def process(
    args: Sequence[str],
    env: Sequence[str],
    cwd: str,
    terminal: bool,
    user: str,
    capabilities: Sequence[str],
    no_new_privileges: bool,
) -> Json:
    """The OCI `process` object of a container's first process or of an exec. `user` is Docker's user[:group]."""
    # Only root keeps capabilities over execve; another user's are granted by file capabilities up to the bounding set.
    held = tuple(capabilities) if is_root(user) else ()
    return {
        "terminal": terminal,
        "user": user_object(user),
        "args": args,
        "env": env,
        "cwd": cwd,
        "noNewPrivileges": no_new_privileges,
        "capabilities": {
            "bounding": capabilities,
            "effective": held,
            "permitted": held,
            "inheritable": (),
            "ambient": (),
        },
    }


def is_root(user: str) -> bool:
    """Whether user[:group] names uid 0."""
    return user.partition(":")[0] in ("", "0", "root")


def user_object(user: str) -> Json:
    """Names are looked up by init inside the container's own root, where /etc/passwd is the right one."""
    return {"uid": 0, "gid": 0, "username": user or "0"}


def environment(config: ContainerCreate, hostname: str, terminal: bool) -> list[str]:
    """Docker's defaults, then the container's own, which win. HOME is added by init, which knows the user."""
    defaults = [DEFAULT_PATH, f"HOSTNAME={hostname}"] + (["TERM=xterm"] if terminal else [])
    return override(defaults, config.env or ())


def override(entries: Sequence[str], with_: Sequence[str]) -> list[str]:
    """Docker's merge of environments: a known name takes the new value in its old place, a new one comes last, and
    one without "=" goes away."""
    merged = {entry.partition("=")[0]: entry for entry in entries}
    for entry in with_:
        name, given, _ = entry.partition("=")
        if given:
            merged[name] = entry
        else:
            merged.pop(name, None)
    return list(merged.values())


def rlimits(host: HostConfig) -> list[Json]:
    """`--ulimit` in the spec's form."""

    def number(value: int) -> int:
        return UNLIMITED if value < 0 else value

    return [
        {"type": f"RLIMIT_{limit.name.upper()}", "soft": number(limit.soft), "hard": number(limit.hard)}
        for limit in host.ulimits or ()
    ]


def mount(destination: str, kind: str, source: str, *options: str) -> Json:
    """One entry of `mounts`."""
    return {"destination": destination, "type": kind, "source": source, "options": options}


def _system_mounts(bundle: Bundle) -> list[Json]:
    directory = bundle.directory
    root = mount(
        "/",
        "overlay",
        "overlay",
        f"lowerdir={':'.join(bundle.lowerdirs)}",
        f"upperdir={directory}/upper",
        f"workdir={directory}/work",
    )
    shm = bundle.host.shm_size or DEFAULT_SHM
    return [
        root,
        mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
            "gid=5",
        ),
        mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        *bundle.cgroup_mounts,
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", f"size={shm}"),
    ]


def _files(bundle: Bundle) -> list[Json]:
    """The files that we write for the container, as writable as its root; a bind of the user's in their place wins."""
    taken = {bind.destination for bind in bundle.binds}
    access = "ro" if bundle.host.readonly_rootfs else "rw"
    return [
        mount(path, "bind", f"{bundle.directory}/{name}", "rbind", "rprivate", access)
        for name, path in (
            ("resolv.conf", "/etc/resolv.conf"),
            ("hostname", "/etc/hostname"),
            ("hosts", "/etc/hosts"),
        )
        if path not in taken
    ]


def _user_mounts(bundle: Bundle) -> list[Json]:
    """Shorter destinations first, so that a mount inside another one is not hidden by it."""
    mounts = [
        mount(
            bind.destination, "bind", bind.source, "rbind", bind.propagation, "ro" if bind.read_only else "rw"
        )
        for bind in bundle.binds
    ]
    mounts += [mount(tmpfs.destination, "tmpfs", "tmpfs", *tmpfs.options) for tmpfs in bundle.tmpfs]
    return sorted(mounts, key=lambda entry: str(entry["destination"]).count("/"))
