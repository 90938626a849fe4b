"""Decide how a container's file system is built: a pure function from a spec to the steps that init runs.

Two parts, with the network between them: sysctls of interfaces want the interfaces, and what seals the root
(masks, read-only paths, pivot_root) comes last.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace

from hostagent.errors import Invalid
from hostagent.kernel import constants as c
from hostagent.kernel.cgroup_mounts import Hierarchy, hierarchies
from hostagent.runtime import mount_options, steps, volume_step
from hostagent.runtime.mount_options import (
    MOUNT_NAMESPACE_OPTION,
    SUBPATH_OPTION,
    SYMLINK_TYPE,
    MountOptions,
)
from hostagent.runtime.spec import Mount, Spec
from hostagent.runtime.volume_step import VOLUME_OPTION

_TYPES = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}

_DEFAULT_NODES = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)

_DEFAULT_LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
)

_ATTRIBUTES = (
    (c.MS_RDONLY, c.MOUNT_ATTR_RDONLY),
    (c.MS_NOSUID, c.MOUNT_ATTR_NOSUID),
    (c.MS_NODEV, c.MOUNT_ATTR_NODEV),
    (c.MS_NOEXEC, c.MOUNT_ATTR_NOEXEC),
    (c.MS_NODIRATIME, c.MOUNT_ATTR_NODIRATIME),
    (c.MS_NOSYMFOLLOW, c.MOUNT_ATTR_NOSYMFOLLOW),
)

_IPC_SYSCTLS = frozenset(
    ("kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax")
) | {"kernel.shmmni", "kernel.shm_rmid_forced"}


@dataclass(frozen=True)
class FilesystemPlan:
    """`outer` runs outside of a user namespace (none without one), `build` at once, `seal` after the network is
    there."""

    target: str
    """Where the root is mounted."""
    outer: tuple[steps.Step, ...]
    build: tuple[steps.Step, ...]
    seal: tuple[steps.Step, ...]


def plan(spec: Spec, bundle: str) -> FilesystemPlan:
    """Raises Invalid for what cannot be planned: a relative lowerdir, a sysctl that is the host's."""
    root = os.path.join(bundle, spec.root_path)
    before = _propagation(spec)
    shared = bool(before & c.MS_SHARED)
    build: list[steps.Step] = [steps.Propagate(before)]
    if shared:
        build.append(steps.IsolateParent(os.path.realpath(root)))
    build.append(_root(spec, root))
    outer: tuple[steps.Step, ...] = ()
    if spec.namespace("user") is not None:
        outer, build = tuple(build), [steps.Propagate(c.MS_SLAVE | c.MS_REC)]
    for mount in spec.mounts:
        if mount.destination != "/":
            build += _mounts(mount, bundle, spec)
    build += _devices(spec)
    if spec.process.cwd != "/":
        build.append(steps.MakeDirectory(spec.process.cwd))
    seal: list[steps.Step] = [_sysctl(spec, key, value) for key, value in spec.sysctl]
    seal += [steps.ReadonlyPath(path) for path in spec.readonly_paths]
    seal += [steps.MaskPath(path) for path in spec.masked_paths]
    if spec.root_readonly:
        seal.append(steps.ReadonlyRoot())
    seal.append(steps.PivotRoot(before if spec.root_propagation else 0))
    return FilesystemPlan(root, outer, tuple(build), tuple(seal))


def _propagation(spec: Spec) -> int:
    """Slave, unless the spec says so or a shared bind mount could not be one: a slave's copies never lead back."""
    if spec.root_propagation is None:
        shared = any(mount_options.parse(mount.options).propagation & c.MS_SHARED for mount in spec.mounts)
        return (c.MS_SHARED if shared else c.MS_SLAVE) | c.MS_REC
    try:
        return mount_options.PROPAGATION[spec.root_propagation]
    except KeyError:
        raise Invalid(f"config.json: unknown rootfsPropagation {spec.root_propagation!r}") from None


def _root(spec: Spec, root: str) -> steps.Step:
    mount = next((mount for mount in spec.mounts if mount.destination == "/"), None)
    if mount is None:
        return steps.BindRoot(root)
    if mount.kind != "overlay":
        raise Invalid(f"config.json: the root can be mounted as overlay only, not as {mount.kind!r}")
    options = mount_options.parse(mount.options)
    lower = split_lowerdir(options.value("lowerdir") or "")
    upper, work = options.value("upperdir"), options.value("workdir")
    for path in (*lower, *filter(None, (upper, work))):
        if not path.startswith("/"):
            raise Invalid(f"config.json: overlay directories must be absolute, not {path!r}")
    if not lower or (upper is None) != (work is None):
        raise Invalid("config.json: an overlay root needs lowerdir, and upperdir together with workdir")
    own = ("lowerdir=", "upperdir=", "workdir=")
    other = tuple(option for option in options.data if not option.startswith(own))
    return steps.OverlayRoot(root, lower, upper, work, options.flags, other)


def split_lowerdir(value: str) -> tuple[str, ...]:
    """The directories of a lowerdir option; a colon inside a name is written "\\:" (kernel docs, overlayfs)."""
    escaped = value.replace("\\\\", "\0").replace("\\:", "\1")
    return tuple(part.replace("\1", ":").replace("\0", "\\") for part in escaped.split(":") if part)


def _mounts(mount: Mount, bundle: str, spec: Spec) -> list[steps.Step]:
    options = mount_options.parse(mount.options)
    if mount.kind == "cgroup" and not options.data:
        return _cgroups(mount, options, hierarchies())
    if mount.kind == "cgroup" and spec.namespace("cgroup") is None and spec.cgroups_path:
        return [_own_cgroup(mount, options, spec.cgroups_path)]
    if mount.kind == "cgroup2" and not (spec.namespace("user") is None or spec.makes("cgroup")):
        # The host's tree cannot be mounted anew from a user namespace: what is mounted already is bound.
        place = next((tree.mountpoint for tree in hierarchies() if tree.unified), "/sys/fs/cgroup")
        return [steps.BindMount(place, mount.destination, True, _attributes(options))]
    if mount.kind == SYMLINK_TYPE:
        return [steps.MakeLink(mount.destination, mount.source)]
    if options.data[:1] == (VOLUME_OPTION,):
        return [volume_step.step(mount.kind, mount.source, mount.destination, options, _attributes(options))]
    if not options.bind and mount.kind != "bind":
        plain = mount.kind in {"proc", "sysfs"}
        return [steps.MountFilesystem(mount.kind, mount.source, mount.destination, options, plain)]
    return [_bind(mount, bundle, options)]


def _cgroups(mount: Mount, options: MountOptions, trees: tuple[Hierarchy, ...]) -> list[steps.Step]:
    """Type cgroup without a controller: whatever the host has, under the names that it has there (runtime-spec)."""
    if all(tree.unified for tree in trees):
        return [steps.MountFilesystem("cgroup2", "cgroup", mount.destination, options)]
    top = MountOptions(options.flags & ~c.MS_RDONLY, data=("mode=755",))
    found: list[steps.Step] = [steps.MountFilesystem("tmpfs", "tmpfs", mount.destination, top)]
    for tree in trees:
        place = f"{mount.destination}/{os.path.basename(tree.mountpoint)}"
        kind = "cgroup2" if tree.unified else "cgroup"
        found.append(steps.MountFilesystem(kind, "cgroup", place, replace(options, data=tree.controllers)))
    return found


def _own_cgroup(mount: Mount, options: MountOptions, group: str) -> steps.Step:
    """Without a cgroup namespace a v1 hierarchy shows the host's groups: the container's own is bound instead."""
    wanted = set(options.data)
    tree = next((tree for tree in hierarchies() if set(tree.controllers) == _controllers(wanted)), None)
    if tree is None:
        raise Invalid(f"config.json: no cgroup hierarchy with {','.join(sorted(wanted))} on this host")
    attributes = _attributes(options)
    return steps.BindMount(f"{tree.mountpoint}/{group.strip('/')}", mount.destination, False, attributes)


def _controllers(names: set[str]) -> set[str]:
    return {part for name in names for part in name.split(",")}


def _bind(mount: Mount, bundle: str, options: MountOptions) -> steps.Step:
    namespace, subpath = options.value(MOUNT_NAMESPACE_OPTION), options.value(SUBPATH_OPTION)
    known = (f"{MOUNT_NAMESPACE_OPTION}=", f"{SUBPATH_OPTION}=")
    if unknown := [option for option in options.data if not option.startswith(known)]:
        raise Invalid(f"config.json: bind mount {mount.destination} has unknown option {unknown[0]!r}")
    return steps.BindMount(
        source=os.path.join(bundle, mount.source),
        destination=mount.destination,
        recursive=bool(options.flags & c.MS_REC) or not options.bind,
        attr_set=_attributes(options),
        tree_set=options.attr_set,
        tree_clr=options.attr_clr,
        propagation=options.propagation,
        namespace=namespace,
        subpath=subpath or "",
    )


def _attributes(options: MountOptions) -> int:
    return sum(attribute for flag, attribute in _ATTRIBUTES if options.flags & flag)


def _devices(spec: Spec) -> list[steps.Step]:
    """The devices and links that every container has (runtime-spec, "Default Devices"), then the spec's.

    A /dev that is bound from the host is left alone.
    """
    dev = next((mount for mount in reversed(spec.mounts) if mount.destination.rstrip("/") == "/dev"), None)
    if dev is not None and (dev.kind == "bind" or mount_options.parse(dev.options).bind):
        return []
    found: list[steps.Step] = [
        steps.MakeNode(f"/dev/{name}", stat.S_IFCHR | 0o666, os.makedev(major, minor))
        for name, major, minor in _DEFAULT_NODES
    ]
    found += [
        steps.MakeNode(device.path, _TYPES[device.kind] | device.mode, device.device, device.uid, device.gid)
        for device in spec.devices
    ]
    found += [steps.MakeLink(path, target) for path, target in _DEFAULT_LINKS]
    return found


def _sysctl(spec: Spec, key: str, value: str) -> steps.Step:
    """Only what the container's own namespaces hold: any other sysctl would change the host. runc's words."""
    name = key.replace("/", ".")
    if name.startswith("net."):
        _must_be_own(spec, "network", f'sysctl "{key}" not allowed in host network namespace')
    elif name in _IPC_SYSCTLS or name.startswith("fs.mqueue."):
        _must_be_own(spec, "ipc", f'sysctl "{key}" is not allowed in the hosts ipc namespace')
    elif name == "kernel.domainname":
        _must_be_own(spec, "uts", f'sysctl "{key}" is not in a separate kernel namespace')
    elif name == "kernel.hostname":
        raise Invalid(f'sysctl "{key}" is not allowed as it conflicts with the OCI "hostname" field')
    else:
        raise Invalid(f'sysctl "{key}" is not in a separate kernel namespace')
    if ".." in key.split("/"):
        raise Invalid(f'sysctl "{key}" is no name of a sysctl')
    return steps.SetSysctl(key, value)


def _must_be_own(spec: Spec, kind: str, otherwise: str) -> None:
    if spec.namespace(kind) is None:
        raise Invalid(otherwise)
