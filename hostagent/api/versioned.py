"""What API versions change: requests read as their version meant them, answers in the shape that it had.

Sources: docs/api/version-history.md of moby, and what dockerd 26.1 does. The newest shape is what the engine gives;
1.46 adds annotations to the list of containers, 1.47 nothing without a containerd image store.
"""

from __future__ import annotations

from msgspec.structs import replace

from hostagent import wire
from hostagent.api.version import Version
from hostagent.errors import Invalid

# Requests


def as_meant(body: wire.ContainerCreate, version: Version) -> wire.ContainerCreate:
    """A create body without the fields that its version did not have, and with its version's defaults."""
    host = body.host_config or wire.HostConfig()
    host = replace(host, mounts=[_mount_as_meant(mount, version) for mount in host.mounts])
    if version < (1, 25):
        host = replace(host, auto_remove=False)
    if version < (1, 40):
        host = replace(host, kernel_memory_tcp=0, ipc_mode=host.ipc_mode or "shareable")
    if version < (1, 42):
        host = replace(host, console_size=(0, 0))
    else:
        host = replace(host, kernel_memory=0)
    if version < (1, 43):
        host = replace(host, annotations={})
    if version < (1, 44):
        if body.healthcheck is not None:
            body = replace(body, healthcheck=replace(body.healthcheck, start_interval=0))
        _refuse_two_networks(body)
    return replace(_with_mac_as_meant(body, host, version), host_config=host)


def update_as_meant(wanted: wire.HostConfig, version: Version) -> wire.HostConfig:
    """An update's body likewise."""
    return replace(
        wanted,
        pids_limit=wanted.pids_limit if version >= (1, 40) else None,
        kernel_memory=wanted.kernel_memory if version < (1, 42) else 0,
    )


def warnings(body: wire.ContainerCreate, version: Version) -> list[str]:
    """What its version says of a body that is good."""
    if version >= (1, 44) and body.mac_address:
        return [
            "The container-wide MacAddress field is now deprecated. "
            "It should be specified in EndpointsConfig instead."
        ]
    return []


def _with_mac_as_meant(
    body: wire.ContainerCreate, host: wire.HostConfig, version: Version
) -> wire.ContainerCreate:
    """A MAC address was the container's until 1.43, and is an endpoint's since."""
    mode = host.network_mode if host.network_mode not in ("", "default") else "bridge"
    endpoints = (body.networking_config.endpoints_config if body.networking_config else None) or {}
    if version < (1, 44):
        if body.mac_address and (mode in ("host", "none") or mode.startswith("container:")):
            raise Invalid("conflicting options: mac-address and the network mode")
        if any(settings and settings.mac_address for settings in endpoints.values()):
            bare = {name: replace(each, mac_address="") if each else each for name, each in endpoints.items()}
            return replace(body, networking_config=wire.NetworkingConfig(endpoints_config=bare))
    elif body.mac_address and endpoints:
        settings = endpoints.get(mode, endpoints.get("default") if mode == "bridge" else None)
        if settings is None and mode not in endpoints:
            raise Invalid(
                "if a container-wide MAC address is supplied, HostConfig.NetworkMode must match the identity of a "
                "network in NetworkSettings.Networks"
            )
        if settings is not None and settings.mac_address not in ("", body.mac_address):
            raise Invalid(
                "the container-wide MAC address must match the endpoint-specific MAC address for the main network, "
                "or be left empty"
            )
    return body


def _mount_as_meant(mount: wire.Mount, version: Version) -> wire.Mount:
    bind, volume, tmpfs = mount.bind_options, mount.volume_options, mount.tmpfs_options
    if version < (1, 42):
        # Options of another type were not looked at.
        volume = volume if mount.type == "volume" else None
        tmpfs = tmpfs if mount.type == "tmpfs" else None
    else:
        for name, options, type_ in (
            ("VolumeOptions", volume, "volume"),
            ("BindOptions", bind, "bind"),
            ("TmpfsOptions", tmpfs, "tmpfs"),
        ):
            if options is not None and mount.type != type_:
                raise Invalid(f'{name} must not be specified on mount type "{mount.type}"')
    if bind is not None:
        if version < (1, 44) and mount.type == "bind" and bind.read_only_force_recursive:
            raise Invalid("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer")
        bind = replace(
            bind,
            non_recursive=bind.non_recursive and version >= (1, 40),
            create_mountpoint=bind.create_mountpoint and version >= (1, 42),
        )
    if version < (1, 44) and mount.type == "bind" and mount.read_only:
        # Read-only mounts were not recursively so.
        bind = replace(bind or wire.BindOptions(), read_only_non_recursive=True)
    if version < (1, 45) and volume is not None and volume.subpath:
        raise Invalid("VolumeOptions.Subpath needs API v1.45 or newer")
    if version < (1, 46) and tmpfs is not None:
        tmpfs = replace(tmpfs, options=[])
    return replace(mount, bind_options=bind, volume_options=volume, tmpfs_options=tmpfs)


def _refuse_two_networks(body: wire.ContainerCreate) -> None:
    endpoints = (body.networking_config.endpoints_config if body.networking_config else None) or {}
    if len(endpoints) > 1:
        raise Invalid(
            f"Container cannot be created with multiple network endpoints: {', '.join(endpoints)}: "
            "connect the others afterwards, or use API v1.44 or newer"
        )


# Answers


def container(inspect: wire.ContainerInspect, version: Version) -> wire.ContainerInspect:
    """Until 1.44 a container's short ID was among its aliases on user-defined networks."""
    if version >= (1, 45):
        return inspect
    added = (inspect.id[:12], inspect.config.hostname)
    networks = {
        name: replace(endpoint, aliases=list(dict.fromkeys((*(endpoint.aliases or ()), *added))))
        if name not in ("bridge", "host", "none", "default") and not name.startswith("container:")
        else endpoint
        for name, endpoint in inspect.network_settings.networks.items()
    }
    return replace(inspect, network_settings=replace(inspect.network_settings, networks=networks))


def listed_container(summary: wire.ContainerSummary, version: Version) -> wire.ContainerSummary:
    """Annotations came with 1.46."""
    if version >= (1, 46) or not summary.host_config.annotations:
        return summary
    return replace(summary, host_config=replace(summary.host_config, annotations={}))


def image(inspect: wire.ImageInspect, version: Version) -> wire.ImageInspect:
    """1.44 dropped VirtualSize and the date of images without one, 1.45 ContainerConfig."""
    if version < (1, 44):
        inspect = replace(inspect, virtual_size=inspect.size, created=inspect.created or wire.NEVER)
    if version >= (1, 45):
        inspect = replace(inspect, container_config=None)
    return inspect


def listed_image(summary: wire.ImageSummary, version: Version) -> wire.ImageSummary:
    """1.43 dropped the placeholders of untagged images and null for no names, 1.44 VirtualSize."""
    if version < (1, 44):
        summary = replace(summary, virtual_size=summary.size)
    if version < (1, 43):
        tags, digests = summary.repo_tags, summary.repo_digests
        if not tags and not digests:
            tags, digests = ["<none>:<none>"], ["<none>@<none>"]
        summary = replace(summary, repo_tags=tags or None, repo_digests=digests or None)
    return summary


def info(answer: wire.Info, version: Version) -> wire.Info:
    """1.25 brought values to the security options and took the execution driver."""
    if version >= (1, 25):
        return answer
    names = [option.partition(",")[0].removeprefix("name=") for option in answer.security_options or ()]
    return replace(answer, security_options=names, execution_driver="<not supported>")
