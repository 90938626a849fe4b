"""`--device`, `--device-cgroup-rule`, `--gpus` and the devices of `--privileged`, found on the host at each start."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hostagent.engine.oci import Json, device_rules
from hostagent.errors import EngineError, Invalid
from hostagent.wire import DeviceMapping, DeviceRequest, HostConfig

_RULE = re.compile(r"([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})")
_OWN = frozenset({"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"})
"""Folders of /dev that are no devices of the host's: file systems of their own, or another engine's."""
_ALL = "rwm"


@dataclass(frozen=True)
class Devices:
    """`nodes` for linux.devices, `rules` for linux.resources.devices (runtime-spec)."""

    nodes: tuple[Json, ...]
    rules: tuple[Json, ...]


def check(host: HostConfig) -> None:
    """What can be said at create: nothing of it, in Docker, which looks at devices when a container starts."""
    for mapping in host.devices or ():
        if not mapping.path_on_host:
            raise Invalid("HostConfig.Devices: PathOnHost is empty")


def find(host: HostConfig) -> Devices:
    """Raises what dockerd answers when a device is not there, or nothing can serve a request for GPUs."""
    nodes: list[Json] = []
    rules = device_rules()
    if host.privileged:
        nodes += _host_devices("/dev")
        rules = [{"allow": True, "access": _ALL}]
        for mapping in host.devices or ():
            if mapping.path_on_host != mapping.path_in_container:
                nodes += _mapped(mapping)
    else:
        for mapping in host.devices or ():
            found = _mapped(mapping)
            nodes += found
            rules += [_use_of(node, mapping.cgroup_permissions or _ALL) for node in found]
        rules += [_rule(text) for text in host.device_cgroup_rules or ()]
    for request in host.device_requests or ():
        _refuse(request)
    return Devices(tuple(nodes), tuple(rules))


def _mapped(mapping: DeviceMapping) -> list[Json]:
    """The device of that name, or all below a folder of that name; symbolic links are followed."""
    path = mapping.path_on_host
    inside = mapping.path_in_container or path
    real = os.path.realpath(path) if os.path.islink(path) else path
    try:
        info = os.stat(real)
    except FileNotFoundError:
        raise _missing(path, "no such file or directory") from None
    if node := _node(real, inside, info):
        return [node]
    found: list[Json] = []
    if stat.S_ISDIR(info.st_mode):
        for below in _walk(real):
            if node := _node(below, inside + below.removeprefix(real), os.lstat(below)):
                found.append(node)
    if not found:
        raise _missing(path, "not a device node")
    return found


def _missing(path: str, reason: str) -> EngineError:
    return EngineError(f'error gathering device information while adding custom device "{path}": {reason}')


def _walk(folder: str) -> Iterator[str]:
    for directory, folders, names in os.walk(folder):
        folders.sort()
        yield from (f"{directory}/{name}" for name in sorted(names))


def _host_devices(folder: str) -> Iterator[Json]:
    """All of /dev, as `--privileged` gives it."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _OWN:
                yield from _host_devices(entry.path)
        elif entry.name != "console" and (
            node := _node(entry.path, entry.path, entry.stat(follow_symlinks=False))
        ):
            yield node


def _node(path: str, inside: str, info: os.stat_result) -> Json | None:
    """None for what is no device."""
    if stat.S_ISBLK(info.st_mode):
        kind = "b"
    elif stat.S_ISCHR(info.st_mode):
        kind = "c"
    else:
        return None
    return {
        "path": inside,
        "type": kind,
        "major": os.major(info.st_rdev),
        "minor": os.minor(info.st_rdev),
        "fileMode": stat.S_IMODE(info.st_mode),
        "uid": info.st_uid,
        "gid": info.st_gid,
    }


def _use_of(node: Json, access: str) -> Json:
    return {
        "allow": True,
        "type": node["type"],
        "major": node["major"],
        "minor": node["minor"],
        "access": access,
    }


def _rule(text: str) -> Json:
    """`c 1:3 rwm`; a star is every number (kernel docs, cgroup-v1, devices)."""
    found = _RULE.fullmatch(text)
    if not found:
        raise EngineError(f"invalid device cgroup rule format: '{text}'")
    kind, major, minor, access = found.groups()
    numbers = {
        name: -1 if value == "*" else int(value) for name, value in (("major", major), ("minor", minor))
    }
    return {"allow": True, "type": kind, "access": access, **numbers}


def _refuse(request: DeviceRequest) -> None:
    """There are no drivers (GPUs, CDI) on any host yet, which is what dockerd says of a host without them."""
    wanted = " ".join(f"[{' '.join(group)}]" for group in _groups(request.capabilities))
    raise Invalid(f'could not select device driver "{request.driver}" with capabilities: [{wanted}]')


def _groups(capabilities: Sequence[Sequence[str]] | None) -> Sequence[Sequence[str]]:
    return capabilities or ()
