"""The part of an OCI runtime spec (config.json, version 1.1) that this runtime acts on, as frozen types.

What the spec knows and this runtime does not act on is refused by name (`Unsupported`), never dropped in
silence; linux.seccomp alone is left to the layer above, which compiles it. Extensions: a mount with destination
"/" (see hostagent.runtime.plan), process.user.username as Docker's user[:group] with additionalGroups by name, the
mount option `mntns` (mount_options.py), two annotations (below).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from hostagent.errors import Invalid, Unsupported
from hostagent.kernel import capabilities
from hostagent.kernel.capabilities import CapabilitySets
from hostagent.kernel.resources import Resources
from hostagent.runtime.idmap import NO_MAPPINGS, IdMappings, Range
from hostagent.runtime.spec_fields import Fields
from hostagent.runtime.spec_resources import device_number, resources

SECCOMP_ANNOTATION = "org.pymachine.seccomp"
"""Path of a compiled filter: an array of struct sock_filter, loaded as it is."""

INIT_ANNOTATION = "org.pymachine.init"
""""true": PID 1 stays ours, reaps and passes signals on; the command is its child (`docker run --init`)."""

_NAMESPACES = frozenset({"mount", "pid", "uts", "ipc", "network", "cgroup", "user", "time"})
_CLOCKS = frozenset({"monotonic", "boottime"})


@dataclass(frozen=True)
class User:
    """`username` is Docker's user[:group], looked up inside the container; where it is set it decides."""

    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = ()
    umask: int | None = None
    username: str = ""
    additional_groups: tuple[str, ...] = ()
    """Names or numbers, looked up inside the container too."""


@dataclass(frozen=True)
class Rlimit:
    """`kind` as in the spec: RLIMIT_NOFILE, ...; numbers in the limit's own unit, 2**64-1 is unlimited."""

    kind: str
    soft: int
    hard: int


@dataclass(frozen=True)
class Process:
    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    terminal: bool = False
    console_size: tuple[int, int] | None = None
    """(height, width) in characters."""
    user: User = field(default_factory=User)
    capabilities: CapabilitySets | None = None
    """None: as they are (a spec without the field)."""
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    oom_score_adj: int | None = None
    apparmor_profile: str | None = None
    selinux_label: str | None = None


@dataclass(frozen=True)
class Mount:
    destination: str
    kind: str
    source: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Namespace:
    kind: str
    path: str | None = None
    """None: a new one."""


@dataclass(frozen=True)
class Device:
    """A node to make in the root. `kind` is c, b, u or p; `mode` without the file type."""

    path: str
    kind: str
    device: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Home:
    """What a further process shares with the container that it runs in."""

    cgroups_path: str
    seccomp_path: str | None


@dataclass(frozen=True)
class Spec:
    process: Process
    root_path: str
    root_readonly: bool = False
    hostname: str | None = None
    domainname: str | None = None
    mounts: tuple[Mount, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    devices: tuple[Device, ...] = ()
    resources: Resources = field(default_factory=Resources)
    cgroups_path: str = ""
    """Relative to the root of each hierarchy; "" leaves the processes where their parent is."""
    sysctl: tuple[tuple[str, str], ...] = ()
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    root_propagation: str | None = None
    mappings: IdMappings = NO_MAPPINGS
    time_offsets: tuple[tuple[str, int, int], ...] = ()
    """(clock, seconds, nanoseconds) of a new time namespace."""
    seccomp_path: str | None = None
    supervised: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)

    def namespace(self, kind: str) -> Namespace | None:
        return next((namespace for namespace in self.namespaces if namespace.kind == kind), None)

    def namespace_path(self, kind: str) -> str | None:
        """Of an existing namespace that is to be joined."""
        namespace = self.namespace(kind)
        return namespace.path if namespace is not None else None

    @property
    def home(self) -> Home:
        return Home(self.cgroups_path, self.seccomp_path)

    @property
    def new_network_namespace(self) -> bool:
        return self.makes("network")

    def makes(self, kind: str) -> bool:
        """Whether the container gets a new namespace of this kind."""
        namespace = self.namespace(kind)
        return namespace is not None and namespace.path is None


def load(path: str) -> Spec:
    """Read a config.json. Raises Invalid or Unsupported naming the field; OSError when it cannot be read."""
    with open(path, "rb") as file:
        return parse(file.read())


def parse(text: bytes | str) -> Spec:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise Invalid(f"config.json is not JSON: {error}") from None
    top = Fields(document, "")
    root = top.child("root")
    linux = top.child("linux")
    if top.has("hooks"):
        raise Unsupported("config.json: hooks are not supported")
    for name in ("intelRdt", "personality", "mountLabel"):
        if linux.has(name):
            raise Unsupported(f"config.json: linux.{name} is not supported")
    root_path = root.string("path")
    if root_path is None:
        raise Invalid("config.json: root.path is missing")
    annotations = {key: str(value) for key, value in top.mapping("annotations").items()}
    spec = Spec(
        process=_process(top.child("process")),
        root_path=root_path,
        root_readonly=root.boolean("readonly"),
        hostname=top.string("hostname"),
        domainname=top.string("domainname"),
        mounts=tuple(_mount(entry) for entry in top.children("mounts")),
        namespaces=tuple(_namespace(entry) for entry in linux.children("namespaces")),
        devices=tuple(_device(entry) for entry in linux.children("devices")),
        resources=resources(linux.child("resources")),
        cgroups_path=linux.string("cgroupsPath") or "",
        sysctl=tuple((key, str(value)) for key, value in linux.mapping("sysctl").items()),
        masked_paths=linux.strings("maskedPaths"),
        readonly_paths=linux.strings("readonlyPaths"),
        root_propagation=linux.string("rootfsPropagation"),
        mappings=IdMappings(
            tuple(_range(entry) for entry in linux.children("uidMappings")),
            tuple(_range(entry) for entry in linux.children("gidMappings")),
        ),
        time_offsets=tuple(
            _offset(linux.child("timeOffsets"), clock) for clock in linux.mapping("timeOffsets")
        ),
        seccomp_path=annotations.get(SECCOMP_ANNOTATION),
        supervised=annotations.get(INIT_ANNOTATION) == "true",
        annotations=annotations,
    )
    _check_namespaces(spec)
    return spec


def _check_namespaces(spec: Spec) -> None:
    """Mappings and offsets belong to namespaces (runtime-spec, config-linux)."""
    if spec.namespace("user") is not None:
        spec.mappings.root  # noqa: B018 - raises Invalid
        if spec.namespace_path("mount"):
            raise Unsupported(
                "config.json: a user namespace together with an existing mount namespace is not supported"
            )
    elif spec.mappings != NO_MAPPINGS:
        raise Invalid("config.json: linux.uidMappings and gidMappings need a namespace of type user")
    if spec.time_offsets and not spec.makes("time"):
        raise Invalid("config.json: linux.timeOffsets needs a new namespace of type time")


def _range(entry: Fields) -> Range:
    numbers = [entry.number(name) for name in ("containerID", "hostID", "size")]
    inside, outside, size = (-1 if number is None else number for number in numbers)
    if min(inside, outside) < 0 or size < 1:
        raise Invalid(f"config.json: {entry.name('')} needs containerID, hostID and a size above 0")
    return Range(inside, outside, size)


def _offset(entry: Fields, clock: str) -> tuple[str, int, int]:
    if clock not in _CLOCKS:
        raise Invalid(f"config.json: {entry.name(clock)}: clocks are {', '.join(sorted(_CLOCKS))}")
    offset = entry.child(clock)
    return clock, offset.number("secs") or 0, offset.number("nanosecs") or 0


def parse_process(document: object) -> Process:
    """The `process` object of an exec request, as decoded JSON."""
    return _process(Fields(document, "process"))


def _process(entry: Fields) -> Process:
    args = entry.strings("args")
    if not args:
        raise Invalid("config.json: process.args must name a command")
    cwd = entry.string("cwd") or "/"
    if not cwd.startswith("/"):
        raise Invalid(f"config.json: process.cwd must be absolute: {cwd!r}")
    for name in ("scheduler", "ioPriority"):
        if entry.has(name):
            raise Unsupported(f"config.json: process.{name} is not supported")
    user, size = entry.child("user"), entry.child("consoleSize")
    return Process(
        args=args,
        env=entry.strings("env"),
        cwd=cwd,
        terminal=entry.boolean("terminal"),
        console_size=(size.number("height") or 0, size.number("width") or 0)
        if entry.has("consoleSize")
        else None,
        user=User(
            uid=user.number("uid") or 0,
            gid=user.number("gid") or 0,
            additional_gids=user.numbers("additionalGids"),
            umask=user.number("umask"),
            username=user.string("username") or "",
            additional_groups=user.strings("additionalGroups"),
        ),
        capabilities=_capabilities(entry.child("capabilities")) if entry.has("capabilities") else None,
        rlimits=tuple(_rlimit(limit) for limit in entry.children("rlimits")),
        no_new_privileges=entry.boolean("noNewPrivileges"),
        oom_score_adj=entry.number("oomScoreAdj"),
        apparmor_profile=entry.string("apparmorProfile") or None,
        selinux_label=entry.string("selinuxLabel") or None,
    )


def _capabilities(entry: Fields) -> CapabilitySets:
    def mask(name: str) -> int:
        try:
            return capabilities.mask(entry.strings(name))
        except ValueError as error:
            raise Invalid(f"config.json: {entry.name(name)}: {error}") from None

    return CapabilitySets(
        *(mask(n) for n in ("bounding", "effective", "permitted", "inheritable", "ambient"))
    )


def _rlimit(entry: Fields) -> Rlimit:
    kind, soft, hard = entry.string("type"), entry.number("soft"), entry.number("hard")
    if kind is None or soft is None or hard is None:
        raise Invalid(f"config.json: {entry.name('')} needs type, soft and hard")
    return Rlimit(kind, soft, hard)


def _mount(entry: Fields) -> Mount:
    destination = entry.string("destination")
    if not destination:
        raise Invalid(f"config.json: {entry.name('destination')} is missing")
    kind = entry.string("type") or ""
    return Mount(
        "/" + destination.lstrip("/"), kind, entry.string("source") or kind, entry.strings("options")
    )


def _namespace(entry: Fields) -> Namespace:
    kind = entry.string("type") or ""
    if kind not in _NAMESPACES:
        raise Unsupported(f"config.json: {kind!r} namespaces are not supported")
    return Namespace(kind, entry.string("path") or None)


def _device(entry: Fields) -> Device:
    path, kind = entry.string("path"), entry.string("type")
    if not path or kind not in {"c", "b", "u", "p"}:
        raise Invalid(f"config.json: {entry.name('')} needs a path and a type of c, b, u or p")
    mode = entry.number("fileMode")
    return Device(
        path=path,
        kind=kind,
        device=os.makedev(*device_number(entry)) if kind != "p" else 0,
        mode=0o666 if mode is None else mode & 0o7777,
        uid=entry.number("uid") or 0,
        gid=entry.number("gid") or 0,
    )
