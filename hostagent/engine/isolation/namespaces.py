"""Which namespaces a container has of its own, and which it shares with the host or with another container.

Modes are checked at create; whose they are is looked up at each start, when the other container has to run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from hostagent.engine import oci
from hostagent.engine.container import Container
from hostagent.engine.isolation.remap import Remap
from hostagent.engine.oci import Json
from hostagent.errors import Conflict, EngineError, Invalid, NotFound
from hostagent.kernel.cgroup_mounts import hierarchies
from hostagent.runtime.mount_options import MOUNT_NAMESPACE_OPTION
from hostagent.wire import ContainerCreate, HostConfig

CONTAINER = "container:"
_HOST_SHM = "/dev/shm"

Find = Callable[[str], Container]


@dataclass(frozen=True)
class Shared:
    """What a start needs to know: the spec's namespaces, where /dev/shm comes from, whose network files are used."""

    namespaces: tuple[Json, ...]
    shm: Json | None
    network: Container | None
    """The container whose network it is; None for its own or the host's."""
    mapped: bool
    """Whether its root is another one than the host's."""


def other(mode: str) -> str | None:
    """The name or ID in `container:X`."""
    return mode.removeprefix(CONTAINER) if mode.startswith(CONTAINER) else None


def check(body: ContainerCreate, host: HostConfig) -> None:
    """Modes that are none, and options that another container's network rules out: Invalid in Docker's words."""
    _check_network(body, host)
    if host.uts_mode == "host" and body.hostname:
        raise Invalid("conflicting options: hostname and the UTS mode")
    if host.ipc_mode not in ("", "none", "host", "private", "shareable") and other(host.ipc_mode) is None:
        raise Invalid(f"invalid IPC mode: {host.ipc_mode}")
    if host.pid_mode not in ("", "host") and not other(host.pid_mode):
        raise Invalid(f"invalid PID mode: {host.pid_mode}")
    if host.uts_mode not in ("", "host"):
        raise Invalid(f"invalid UTS mode: {host.uts_mode}")
    if host.userns_mode not in ("", "host"):
        raise Invalid(f"invalid USER mode: {host.userns_mode}")
    if host.cgroupns_mode not in ("", "private", "host"):
        raise Invalid(f"invalid cgroup namespace mode: {host.cgroupns_mode}")


def _check_network(body: ContainerCreate, host: HostConfig) -> None:
    name = other(host.network_mode)
    if name is None:
        if host.network_mode == "host" and host.links:
            raise Invalid(
                "conflicting options: host type networking can't be used with links. This would result in undefined "
                "behavior"
            )
        return
    if not name:
        raise Invalid("Invalid network mode: invalid container format container:<name|id>")
    for wrong, text in (
        (body.hostname, "hostname and the network mode"),
        (
            host.links,
            "container type network can't be used with links. This would result in undefined behavior",
        ),
        (host.dns, "dns and the network mode"),
        (host.extra_hosts, "custom host-to-IP mapping and the network mode"),
        (host.port_bindings or host.publish_all_ports, "port publishing and the container type network mode"),
        (body.exposed_ports, "port exposing and the container type network mode"),
    ):
        if wrong:
            raise Invalid(f"conflicting options: {text}")


def settle(host: HostConfig, find: Find) -> HostConfig:
    """Defaults and full IDs, as `inspect` shows them.

    Invalid when there is no such container; a network's may come later, and stays as it was given.
    """

    def full(mode: str) -> str:
        name = other(mode)
        if not name:
            return mode
        try:
            return f"{CONTAINER}{find(name).id}"
        except (NotFound, Invalid) as error:
            if mode == host.network_mode:
                return mode
            raise Invalid(str(error)) from None

    return replace(
        host,
        pid_mode=full(host.pid_mode),
        ipc_mode=full(host.ipc_mode) or "private",
        network_mode=full(host.network_mode),
        cgroupns_mode=host.cgroupns_mode or _default_cgroupns(),
    )


def _default_cgroupns() -> str:
    """Docker's: cgroup v1 shows a container the host's paths."""
    return "private" if all(tree.unified for tree in hierarchies()) else "host"


def join(container: Container, find: Find, remap: Remap | None) -> Shared:
    """At the start. Raises what dockerd says when the other container is not there, not running, or keeps its own."""
    host = container.host
    network = _networked(container, find) if other(host.network_mode) else None
    namespaces: list[Json] = [{"type": "mount"}]
    if network:
        namespaces.append(_of(network, "net", "network"))
    elif host.network_mode != "host":
        namespaces.append({"type": "network"})
    donor = _donor(host.ipc_mode, find, "IPC")
    if donor:
        namespaces.append(_of(donor, "ipc", "ipc"))
    elif host.ipc_mode != "host":
        namespaces.append({"type": "ipc"})
    if pid_holder := _donor(host.pid_mode, find, "PID"):
        namespaces.append(_of(pid_holder, "pid", "pid"))
    elif host.pid_mode != "host":
        namespaces.append({"type": "pid"})
    if host.uts_mode != "host":
        namespaces.append({"type": "uts"})
    if host.cgroupns_mode == "private":
        namespaces.append({"type": "cgroup"})
    mapped = remap is not None and host.userns_mode != "host"
    if mapped:
        # Who shares a namespace shares the user namespace that it belongs to; of several the last counts, as in Docker.
        sharers = [each for each in (network, donor, pid_holder) if each]
        namespaces.append(_of(sharers[-1], "user", "user") if sharers else {"type": "user"})
    return Shared(tuple(namespaces), _shm(host, donor), network, mapped)


def network_of(container: Container, find: Find) -> Container:
    """The container whose network files this one uses: itself, or the one at the end of `container:X`."""
    seen = {container.id}
    while name := other(container.host.network_mode):
        try:
            following = find(name)
        except (NotFound, Invalid):
            break
        if following.id in seen:
            break
        seen.add(following.id)
        container = following
    return container


def _networked(container: Container, find: Find) -> Container:
    name = other(container.host.network_mode) or ""
    found = find(name)
    if found is container:
        raise EngineError("cannot join own network")
    if not found.state.running:
        raise Conflict(f"cannot join network of a non running container: {name}")
    _not_restarting(found, name)
    return found


def _donor(mode: str, find: Find, what: str) -> Container | None:
    """The other container of `--ipc` or `--pid`, which runs."""
    name = other(mode)
    if name is None:
        return None
    try:
        try:
            found = find(name)
        except NotFound as error:
            raise Invalid(str(error)) from None
        if not found.state.running:
            raise Conflict(f"container {name} is not running")
        _not_restarting(found, name)
        if what == "IPC" and not _shares_ipc(found):
            raise Invalid(
                f"container {name}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
            )
    except EngineError as error:
        raise type(error)(f"failed to join {what} namespace: {error}") from None
    return found


def _not_restarting(container: Container, name: str) -> None:
    if container.state.phase == "restarting":
        raise Conflict(f"Container {name} is restarting, wait until the container is running")


def _shares_ipc(container: Container) -> bool:
    """Only one that was told to, or that shares another's itself; not when the user mounted something else there."""
    mode = container.host.ipc_mode
    if mode != "shareable":
        return mode == "host" or other(mode) is not None
    return not mounts_shm(container.host)


def mounts_shm(host: HostConfig) -> bool:
    """Whether /dev/shm is the user's own mount."""
    targets = {entry.target for entry in host.mounts} | set(host.tmpfs)
    targets |= {text.split(":")[1] for text in host.binds or () if ":" in text}
    return any(os.path.normpath(target) == _HOST_SHM for target in targets)


def _shm(host: HostConfig, donor: Container | None) -> Json | None:
    """The mount of /dev/shm: one's own, the host's, the donor's (taken out of its mount namespace), or none."""
    if donor and donor.host.ipc_mode != "host":
        options = ("rbind", "rprivate", f"{MOUNT_NAMESPACE_OPTION}={_path(donor, 'mnt')}")
        return oci.mount(_HOST_SHM, "bind", _HOST_SHM, *options)
    if donor or host.ipc_mode == "host":
        return oci.mount(_HOST_SHM, "bind", _HOST_SHM, "rbind", "rprivate")
    if host.ipc_mode == "none":
        return None
    size = host.shm_size or oci.DEFAULT_SHM
    return oci.mount(_HOST_SHM, "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", f"size={size}")


def _of(container: Container, file: str, kind: str) -> Json:
    return {"type": kind, "path": _path(container, file)}


def _path(container: Container, file: str) -> str:
    return f"/proc/{container.state.pid}/ns/{file}"
