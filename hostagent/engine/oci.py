"""From a container's configuration to the OCI bundle's config.json. Pure: the same input gives the same bytes.

Values that a Docker user relies on (mount options, masked paths, default devices and capabilities) are Docker's.
Source: OCI runtime-spec 1.1, and what `docker inspect` and /proc/mounts show in a container of dockerd 26.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from hostagent.engine.files.mounts import StartingVolume
from hostagent.engine.files.mountspec import BindMount, TmpfsMount
from hostagent.image.mountpoints import MTAB, MTAB_TARGET
from hostagent.runtime.mount_options import SUBPATH_OPTION, SYMLINK_TYPE
from hostagent.runtime.volume_step import options_of
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
STAYS_WRITABLE = frozenset({"/proc", "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev", "/sys/fs/cgroup"})
"""Of a read-only root's own mounts; others become read-only with it. (cgroup v2 is read-only anyway.)"""

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
    volumes: tuple[StartingVolume, ...]
    tmpfs: tuple[TmpfsMount, ...]
    cgroup: str
    limits: Json
    """The rest of linux.resources, beside the devices."""
    cgroup_mounts: tuple[Json, ...]
    namespaces: tuple[Json, ...]
    shm: Json | None
    """The mount of /dev/shm, None for none."""
    network_directory: str
    """Whose hosts, hostname and resolv.conf: `directory`, or another container's."""
    device_nodes: tuple[Json, ...]
    device_rules: tuple[Json, ...]
    apparmor: str | None
    interface_sysctls: tuple[tuple[str, str], ...] = ()
    """Of interfaces that the container will have: keys with slashes."""
    links: tuple[str, ...] = ()
    """NAME=value about linked containers."""
    mappings: Json = field(default_factory=dict)
    """uidMappings and gidMappings of a user namespace."""


def render(bundle: Bundle) -> bytes:
    """config.json."""
    host = bundle.host
    kinds = {str(entry["type"]): "path" in entry for entry in bundle.namespaces}
    annotations = dict(host.annotations)
    if bundle.seccomp_path:
        annotations["org.pymachine.seccomp"] = bundle.seccomp_path
    if host.init and kinds.get("pid") is False:  # another's PID namespace has its init already
        annotations["org.pymachine.init"] = "true"
    return msgspec.json.encode(
        {
            "ociVersion": "1.1.0",
            "process": process(
                args=bundle.args,
                env=environment(bundle.config, bundle.hostname, bundle.config.tty, bundle.links),
                cwd=bundle.config.working_dir or "/",
                terminal=bundle.config.tty,
                user=bundle.config.user,
                capabilities=bundle.capabilities,
                no_new_privileges=bundle.no_new_privileges,
                groups=host.group_add or (),
                apparmor=bundle.apparmor,
            )
            | scores(host),
            "root": {"path": "rootfs", "readonly": host.readonly_rootfs},
            "hostname": bundle.hostname if "uts" in kinds else None,
            "domainname": bundle.config.domainname or None if "uts" in kinds else None,
            "mounts": _mounts(bundle),
            "annotations": annotations,
            "linux": bundle.mappings
            | {
                "namespaces": bundle.namespaces,
                "cgroupsPath": bundle.cgroup,
                "devices": bundle.device_nodes,
                "resources": {**bundle.limits, "devices": bundle.device_rules},
                "maskedPaths": host.masked_paths or (),
                "readonlyPaths": host.readonly_paths or (),
                "sysctl": {
                    **_network_sysctls(kinds),
                    **_domain_of_host(bundle, kinds),
                    **dict(bundle.interface_sysctls),
                    **host.sysctls,
                },
            },
        }
    )


def _network_sysctls(kinds: Mapping[str, bool]) -> Mapping[str, str]:
    """Of a new network namespace only. Groups of a user namespace cannot be named for ping."""
    if kinds.get("network") is not False:
        return {}
    return {
        key: value
        for key, value in NETWORK_SYSCTLS.items()
        if key != "net.ipv4.ping_group_range" or "user" not in kinds
    }


def _domain_of_host(bundle: Bundle, kinds: Mapping[str, bool]) -> Mapping[str, str]:
    """A domain name is a sysctl in Docker's eyes, and with the host's UTS namespace one that is refused."""
    name = bundle.config.domainname
    return {"kernel.domainname": name} if name and "uts" not in kinds else {}


def process(
    args: Sequence[str],
    env: Sequence[str],
    cwd: str,
    terminal: bool,
    user: str,
    capabilities: Sequence[str],
    no_new_privileges: bool,
    groups: Sequence[str] = (),
    apparmor: str | None = None,
) -> Json:
    """The OCI `process` object of a container's first process or of an exec. `user` is Docker's user[:group], `groups`
    are further ones by name or number; init takes the capabilities from whoever is not root."""
    return {
        "terminal": terminal,
        "user": user_object(user, groups),
        "args": args,
        "env": env,
        "cwd": cwd,
        "noNewPrivileges": no_new_privileges,
        "capabilities": {
            "bounding": capabilities,
            "effective": capabilities,
            "permitted": capabilities,
            "inheritable": (),
            "ambient": (),
        },
        "apparmorProfile": apparmor,
    }


def user_object(user: str, groups: Sequence[str] = ()) -> Json:
    """Names are looked up by init inside the container's own root, where /etc/passwd is the right one."""
    return {"uid": 0, "gid": 0, "username": user or "0", "additionalGroups": groups}


def environment(
    config: ContainerCreate, hostname: str, terminal: bool, links: Sequence[str] = ()
) -> list[str]:
    """Docker's defaults, then the container's own, which win. HOME is added by init, which knows the user."""
    defaults = [DEFAULT_PATH, f"HOSTNAME={hostname}", *(["TERM=xterm"] if terminal else []), *links]
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


def scores(host: HostConfig) -> Json:
    """What the first process and every exec have alike."""
    return {"rlimits": rlimits(host), "oomScoreAdj": host.oom_score_adj or None}


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


def _mounts(bundle: Bundle) -> list[Json]:
    """The root and the system's, less what the user mounts in its place; then the rest, shorter destinations first, so
    that a mount inside another one is not hidden by it."""
    later = [*_files(bundle), *_user_mounts(bundle)]
    if bundle.shm and bundle.shm["type"] == "bind":
        later.append(bundle.shm)
    taken = {str(entry["destination"]) for entry in later}
    system = [
        entry
        for entry in _system_mounts(bundle)
        if (place := str(entry["destination"])) not in taken
        and not ("/dev" in taken and place.startswith("/dev/"))
    ]
    if bundle.host.readonly_rootfs:
        system = [_read_only(entry) for entry in system]
    if bundle.host.privileged:
        system = [_writable(entry) for entry in system]
    return system + sorted(later, key=lambda entry: str(entry["destination"]).count("/"))


def _read_only(entry: Json) -> Json:
    if entry["destination"] in (*STAYS_WRITABLE, "/", MTAB):
        return entry
    return entry | {"options": (*_options(entry), "ro")}


def _writable(entry: Json) -> Json:
    """What `--privileged` may write to: /sys and the cgroups."""
    place = str(entry["destination"])
    if place != "/sys" and not place.startswith("/sys/fs/cgroup"):
        return entry
    return entry | {"options": tuple(option for option in _options(entry) if option != "ro")}


def _options(entry: Json) -> tuple[str, ...]:
    options = entry["options"]
    assert isinstance(options, tuple)
    return options


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
    own_shm = [bundle.shm] if bundle.shm and bundle.shm["type"] != "bind" else []
    return [
        root,
        mount(MTAB, SYMLINK_TYPE, MTAB_TARGET),
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
        *own_shm,
    ]


def _files(bundle: Bundle) -> list[Json]:
    """The files that we write for the container, as writable as its root; a bind of the user's in their place wins."""
    taken = {bind.destination for bind in bundle.binds} | {each.mount.destination for each in bundle.volumes}
    access = "ro" if bundle.host.readonly_rootfs else "rw"
    return [
        mount(path, "bind", f"{bundle.network_directory}/{name}", "rbind", "rprivate", access)
        for name, path in (
            ("resolv.conf", "/etc/resolv.conf"),
            ("hostname", "/etc/hostname"),
            ("hosts", "/etc/hosts"),
        )
        if path not in taken
    ]


def _user_mounts(bundle: Bundle) -> list[Json]:
    mounts = [
        mount(
            bind.destination,
            "bind",
            bind.source,
            "rbind" if bind.recursive else "bind",
            bind.propagation,
            bind.access,
        )
        for bind in bundle.binds
    ]
    mounts += [_volume(volume) for volume in bundle.volumes]
    return mounts + [mount(tmpfs.destination, "tmpfs", "tmpfs", *tmpfs.options) for tmpfs in bundle.tmpfs]


def _volume(volume: StartingVolume) -> Json:
    """Its directory, a directory of the host's in its stead, or a file system; or a part of it, which init looks up, so
    that nobody changes the way meanwhile."""
    wanted, filesystem = volume.mount, volume.filesystem
    access = "rro" if wanted.read_only else "rw"
    part = (f"{SUBPATH_OPTION}={wanted.subpath}",) if wanted.subpath else ()
    if filesystem is None:
        return mount(wanted.destination, "bind", wanted.source, "rbind", "rprivate", access, *part)
    if filesystem.bind:
        options = [access, *(word for word in filesystem.words if word != "rw")]
        return mount(wanted.destination, "bind", filesystem.device, *options, "rprivate", *part)
    own = options_of(volume.donor, wanted.subpath)
    return mount(
        wanted.destination,
        filesystem.kind,
        filesystem.device,
        *own,
        *filesystem.words,
        *("rro",) * wanted.read_only,
    )
