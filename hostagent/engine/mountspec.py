"""`-v`, `--tmpfs` and `--mount` of the create body as frozen mounts; what is not built yet is refused by name."""

from __future__ import annotations

import ipaddress
import os
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hostagent.errors import Invalid, Unsupported
from hostagent.wire import HostConfig, Mount, MountPoint

PROPAGATIONS = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})
TMPFS_DEFAULTS = ("noexec", "nosuid", "nodev")


@dataclass(frozen=True)
class BindMount:
    """A host path inside the container."""

    source: str
    destination: str
    read_only: bool = False
    propagation: str = "rprivate"
    mode: str = ""
    """The third part of `-v` as given, for inspect."""
    create_source: bool = True
    """`-v` makes a missing source a folder; `--mount` refuses it."""

    def wire(self) -> MountPoint:
        return MountPoint(
            type="bind",
            source=self.source,
            destination=self.destination,
            mode=self.mode,
            rw=not self.read_only,
            propagation=self.propagation,
        )


@dataclass(frozen=True)
class TmpfsMount:
    destination: str
    options: tuple[str, ...]


def parse_binds(host: HostConfig) -> tuple[BindMount, ...]:
    """`HostConfig.Binds` and the bind entries of `HostConfig.Mounts`. Invalid or Unsupported with the entry's text."""
    binds = [_bind(text) for text in host.binds or ()]
    binds += [_mount_bind(entry) for entry in host.mounts if entry.type == "bind"]
    seen: set[str] = set()
    for bind in binds:
        if bind.destination in seen:
            raise Invalid(f"Duplicate mount point: {bind.destination}")
        seen.add(bind.destination)
    return tuple(binds)


def parse_tmpfs(host: HostConfig) -> tuple[TmpfsMount, ...]:
    """`HostConfig.Tmpfs` and the tmpfs entries of `HostConfig.Mounts`."""
    mounts = [
        TmpfsMount(
            _destination(path, path), (*TMPFS_DEFAULTS, *(option for option in options.split(",") if option))
        )
        for path, options in host.tmpfs.items()
    ]
    mounts += [_mount_tmpfs(entry) for entry in host.mounts if entry.type == "tmpfs"]
    return tuple(mounts)


def check_targets(host: HostConfig) -> None:
    """Parse everything at create: Invalid for two mounts on one place, and for a missing source of `--mount`."""
    binds, tmpfs = parse_binds(host), parse_tmpfs(host)
    seen = {bind.destination for bind in binds}
    for entry in tmpfs:
        if entry.destination in seen:
            raise Invalid(f"Duplicate mount point: {entry.destination}")
        seen.add(entry.destination)
    for bind in binds:
        if not bind.create_source:
            _source_must_exist(bind)


def _source_must_exist(bind: BindMount) -> None:
    if not os.path.exists(bind.source):
        raise Invalid(f'invalid mount config for type "bind": bind source path does not exist: {bind.source}')


def refuse_other_mounts(host: HostConfig) -> None:
    """Volumes and images as mounts come later; until then they are named, not dropped."""
    for entry in host.mounts:
        if entry.type not in ("bind", "tmpfs"):
            raise Unsupported(
                f"mounts of type {entry.type!r} are not supported yet: use a bind mount (a host path)"
            )


def ensure_sources(binds: tuple[BindMount, ...]) -> None:
    """Make missing sources of `-v` (folders, as Docker does); Invalid for those of `--mount`."""
    for bind in binds:
        if not bind.create_source:
            _source_must_exist(bind)
        elif not os.path.exists(bind.source):
            os.makedirs(bind.source, exist_ok=True)


def check_extra_hosts(entries: Sequence[str]) -> None:
    """What can be said of `--add-host` before the gateway is known, at create."""
    for entry in entries:
        if not re.fullmatch(r"[^:=]+[:=].+", entry):
            raise Invalid(f'bad format for add-host: "{entry}"')


def parse_extra_hosts(entries: Sequence[str], gateway: str | None) -> list[tuple[str, str]]:
    """`--add-host name:address` (or name=address) as (name, address); "host-gateway" is the bridge's address."""
    parsed = []
    for entry in entries:
        separator = "=" if "=" in entry else ":"
        name, found, address = entry.partition(separator)
        if address == "host-gateway":
            if gateway is None:
                raise Invalid(f"--add-host {entry}: host-gateway needs a container on the bridge network")
            address = gateway
        try:
            ipaddress.ip_address(address.strip("[]"))
        except ValueError:
            raise Invalid(f"invalid IP address in add-host: {entry!r}") from None
        if not found or not name:
            raise Invalid(f'bad format for add-host: "{entry}"')
        parsed.append((name, address.strip("[]")))
    return parsed


def _bind(text: str) -> BindMount:
    parts = text.split(":")
    if len(parts) == 1:
        raise Unsupported(
            f"volumes are not supported yet: {text!r} names none of the host's paths (use /path:{text})"
        )
    if len(parts) > 3 or not parts[1]:
        raise Invalid(f"invalid volume specification: {text!r}")
    source, destination, mode = parts[0], parts[1], parts[2] if len(parts) == 3 else ""
    if not source.startswith("/"):
        raise Unsupported(f"named volumes are not supported yet: {source!r} (use a path of the host)")
    read_only, propagation = False, "rprivate"
    for option in mode.split(",") if mode else ():
        if option == "ro":
            read_only = True
        elif option in PROPAGATIONS:
            propagation = option
        elif option in ("z", "Z"):
            raise Unsupported(f"SELinux labels ({option}) are not supported yet: {text!r}")
        elif option not in ("rw", "cached", "delegated", "consistent"):
            raise Invalid(f"invalid mode: {mode}")
    return BindMount(
        posixpath.normpath(source), _destination(destination, text), read_only, propagation, mode
    )


def _mount_bind(entry: Mount) -> BindMount:
    options = entry.bind_options
    if not entry.source.startswith("/"):
        raise Invalid(
            f"invalid mount config for type \"bind\": invalid mount path: '{entry.source}' mount path must be absolute"
        )
    propagation = (options.propagation if options else "") or "rprivate"
    if propagation not in PROPAGATIONS:
        raise Invalid(f'invalid mount config for type "bind": invalid propagation: {propagation!r}')
    if options and (
        options.non_recursive or options.read_only_non_recursive or options.read_only_force_recursive
    ):
        raise Unsupported("bind-recursive options of --mount are not supported yet")
    return BindMount(
        posixpath.normpath(entry.source),
        _destination(entry.target, entry.target),
        entry.read_only,
        propagation,
        create_source=bool(options and options.create_mountpoint),
    )


def _mount_tmpfs(entry: Mount) -> TmpfsMount:
    if entry.source:
        raise Invalid('invalid mount config for type "tmpfs": source must not be specified')
    options = [*TMPFS_DEFAULTS]
    if entry.read_only:
        options.append("ro")
    if tmpfs := entry.tmpfs_options:
        if tmpfs.options:
            raise Unsupported("tmpfs options of --mount are not supported yet: use --tmpfs")
        if tmpfs.size_bytes:
            options.append(f"size={tmpfs.size_bytes}")
        if tmpfs.mode:
            options.append(f"mode={tmpfs.mode:o}")
    return TmpfsMount(_destination(entry.target, entry.target), tuple(options))


def _destination(path: str, text: str) -> str:
    if not path.startswith("/"):
        raise Invalid(
            f"invalid volume specification: {text!r}: invalid mount path: '{path}' mount path must be absolute"
        )
    clean = posixpath.normpath(path)
    if clean == "/":
        raise Invalid(
            f"invalid volume specification: {text!r}: invalid specification: destination can't be '/'"
        )
    return clean
