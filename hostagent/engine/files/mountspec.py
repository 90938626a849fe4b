"""`-v`, `--tmpfs` and `--mount` of the create body as frozen mounts; what is not built yet is refused by name."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from hostagent.engine.files import bindtext
from hostagent.engine.files.bindtext import PROPAGATIONS
from hostagent.errors import EngineError, Invalid, Unsupported
from hostagent.kernel import lsm
from hostagent.kernel.mountinfo import Mounted, holding
from hostagent.wire import BindOptions, HostConfig, Mount, MountPoint

TMPFS_DEFAULTS = ("noexec", "nosuid", "nodev")
_TMPFS_FLAGS = PROPAGATIONS | {
    *("defaults", "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync"),
    *("mand", "nomand", "atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime"),
    *("strictatime", "nostrictatime", "unbindable", "runbindable", "remount"),
}
_TMPFS_VALUES = frozenset({"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"})


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
    recursive: bool = True
    """With what is mounted below the source."""
    below_too: bool = True
    """A read-only bind: also what is mounted below it."""

    @property
    def access(self) -> str:
        """The mount option (runtime-spec: rro takes in all mounts below)."""
        if not self.read_only:
            return "rw"
        return "rro" if self.below_too else "ro"

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
    counts: bool = True
    """Whether another mount in its place is one too many: `--tmpfs` below a `--mount` is just hidden, as in Docker."""


def parse_binds(host: HostConfig) -> tuple[BindMount, ...]:
    """`HostConfig.Binds` and the bind entries of `HostConfig.Mounts`. Invalid or Unsupported with the entry's text."""
    binds = [_bind(text) for text in host.binds or () if not bindtext.split(text).volume]
    binds += [_mount_bind(entry) for entry in host.mounts if entry.type == "bind"]
    return tuple(binds)


def parse_tmpfs(host: HostConfig) -> tuple[TmpfsMount, ...]:
    """`HostConfig.Tmpfs` and the tmpfs entries of `HostConfig.Mounts`."""
    by_mount = {posixpath.normpath(entry.target) for entry in host.mounts}
    mounts = []
    for path, options in host.tmpfs.items():
        place = _tmpfs_destination(path)
        words = (*TMPFS_DEFAULTS, *(option for option in options.split(",") if option))
        mounts.append(TmpfsMount(place, words, counts=place not in by_mount))
    mounts += [_mount_tmpfs(entry) for entry in host.mounts if entry.type == "tmpfs"]
    return tuple(mounts)


def check_sources(host: HostConfig) -> None:
    """At create: Invalid for a missing source of `--mount`."""
    for bind in parse_binds(host):
        if not bind.create_source:
            _source_must_exist(bind)


def _source_must_exist(bind: BindMount) -> None:
    if not os.path.exists(bind.source):
        raise Invalid(f'invalid mount config for type "bind": bind source path does not exist: {bind.source}')


def ensure_sources(binds: tuple[BindMount, ...]) -> None:
    """Make missing sources of `-v` (folders, as Docker does); Invalid for those of `--mount`."""
    for bind in binds:
        if not bind.create_source:
            _source_must_exist(bind)
        elif not os.path.exists(bind.source):
            os.makedirs(bind.source, exist_ok=True)


def _bind(text: str) -> BindMount:
    spec = bindtext.split(text)
    if "nocopy" in spec.words:
        raise spec.wrong('invalid mount config for type "bind": field VolumeOptions must not be specified')
    if {"z", "Z"} & set(spec.words) and lsm.selinux_enabled():
        raise Unsupported(f"SELinux labels ({spec.mode}) are not supported yet on a host with SELinux")
    propagation = next((word for word in spec.words if word in PROPAGATIONS), "rprivate")
    return BindMount(
        posixpath.normpath(spec.source), spec.destination, spec.read_only, propagation, spec.mode
    )


def _mount_bind(entry: Mount) -> BindMount:
    options = entry.bind_options or BindOptions()
    if not entry.source:
        raise _wrong(entry, "field Source must not be empty")
    if not entry.source.startswith("/"):
        raise _wrong(entry, f"invalid mount path: '{entry.source}' mount path must be absolute")
    propagation = options.propagation or "rprivate"
    if propagation not in PROPAGATIONS:
        raise _wrong(entry, f"invalid propagation mode: {propagation}")
    if entry.volume_options:
        raise _wrong(entry, "field VolumeOptions must not be specified")
    return BindMount(
        posixpath.normpath(entry.source),
        _target(entry),
        entry.read_only,
        propagation,
        create_source=options.create_mountpoint,
        recursive=not options.non_recursive,
        below_too=not options.read_only_non_recursive,
    )


def _wrong(entry: Mount, reason: str) -> Invalid:
    return Invalid(f'invalid mount config for type "{entry.type}": {reason}')


def _target(entry: Mount) -> str:
    if not entry.target:
        raise _wrong(entry, "field Target must not be empty")
    if posixpath.normpath(entry.target) == "/":
        raise _wrong(entry, "invalid specification: destination can't be '/'")
    if not entry.target.startswith("/"):
        raise _wrong(entry, f"invalid mount path: '{entry.target}' mount path must be absolute")
    return posixpath.normpath(entry.target)


def check_read_only(host: HostConfig) -> None:
    """How deep a read-only mount is: contradictions are found at the start, as in Docker."""
    for entry in host.mounts:
        options = entry.bind_options or BindOptions()
        shallow, forced = options.read_only_non_recursive, options.read_only_force_recursive
        for wrong, text in (
            (shallow and not entry.read_only, "!ReadOnly && BindOptions.ReadOnlyNonRecursive"),
            (forced and not entry.read_only, "!ReadOnly && BindOptions.ReadOnlyForceRecursive"),
            (shallow and forced, "ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive"),
        ):
            if wrong:
                raise EngineError(f"mount options conflict: {text}")


def check_propagation(binds: Sequence[BindMount]) -> None:
    """A mount can only travel between the host and a container where the host's own mount is shared."""
    for bind in binds:
        if bind.propagation in ("private", "rprivate"):
            continue
        source = holding(os.path.realpath(bind.source))
        if bind.propagation in ("shared", "rshared"):
            _must_be(source.shared, source, bind, "a shared mount")
        else:
            _must_be(source.shared or source.slave, source, bind, "a shared or slave mount")


def _must_be(fulfilled: bool, source: Mounted, bind: BindMount, what: str) -> None:
    if not fulfilled:
        raise EngineError(f"path {bind.source} is mounted on {source.mountpoint} but it is not {what}")


def _mount_tmpfs(entry: Mount) -> TmpfsMount:
    if entry.bind_options:
        raise _wrong(entry, "field BindOptions must not be specified")
    if entry.source:
        raise _wrong(entry, "field Source must not be specified")
    options = [*TMPFS_DEFAULTS]
    if entry.read_only:
        options.append("ro")
    if tmpfs := entry.tmpfs_options:
        if tmpfs.mode:
            options.append(f"mode={tmpfs.mode:o}")
        if tmpfs.size_bytes:
            options.append(f"size={tmpfs.size_bytes}")
        options += ["=".join(option) for option in tmpfs.options]
    return TmpfsMount(_target(entry), tuple(options))


def check_tmpfs(mounts: Sequence[TmpfsMount]) -> None:
    """Options that no tmpfs has: told at the start, in Docker's words."""
    for mount in mounts:
        for option in mount.options:
            name, found, _ = option.partition("=")
            known = name in _TMPFS_VALUES if found else option in _TMPFS_FLAGS
            if not known:
                raise EngineError(f'invalid tmpfs option "{name}"')


def _tmpfs_destination(path: str) -> str:
    if posixpath.normpath(path) == "/":
        raise Invalid("invalid specification: destination can't be '/'")
    if not path.startswith("/"):
        raise Invalid(f"invalid mount path: '{path}' mount path must be absolute")
    return posixpath.normpath(path)
