"""What API versions change, request by request and answer by answer."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hostagent import wire
from hostagent.api import versioned
from hostagent.errors import Invalid

MOUNT = wire.Mount(type="bind", source="/a", target="/b", read_only=True)


def create(*mounts: wire.Mount, **host: object) -> wire.ContainerCreate:
    kept = wire.decode(wire.encode(host), wire.HostConfig)
    return wire.ContainerCreate(
        image="busybox",
        healthcheck=wire.HealthConfig(test=["CMD", "true"], start_interval=5),
        host_config=replace(kept, mounts=list(mounts)),
    )


def host_of(body: wire.ContainerCreate, version: tuple[int, int]) -> wire.HostConfig:
    host = versioned.as_meant(body, version).host_config
    assert host is not None
    return host


def test_what_old_versions_did_not_have_is_not_there() -> None:
    body = create(AutoRemove=True, ConsoleSize=[3, 4], KernelMemory=5, Annotations={"a": "b"})
    assert host_of(body, (1, 24)).auto_remove is False
    assert host_of(body, (1, 25)).auto_remove is True
    assert (host_of(body, (1, 39)).ipc_mode, host_of(body, (1, 40)).ipc_mode) == ("shareable", "")
    assert (host_of(body, (1, 41)).console_size, host_of(body, (1, 42)).console_size) == ((0, 0), (3, 4))
    assert (host_of(body, (1, 41)).kernel_memory, host_of(body, (1, 42)).kernel_memory) == (5, 0)
    assert (host_of(body, (1, 42)).annotations, host_of(body, (1, 43)).annotations) == ({}, {"a": "b"})
    for version, interval in (((1, 43), 0), ((1, 44), 5)):
        health = versioned.as_meant(body, version).healthcheck
        assert health is not None
        assert health.start_interval == interval


def test_options_of_another_type_of_mount() -> None:
    body = create(wire.Mount(type="bind", source="/a", target="/b", tmpfs_options=wire.TmpfsOptions()))
    assert host_of(body, (1, 41)).mounts[0].tmpfs_options is None
    with pytest.raises(Invalid, match='TmpfsOptions must not be specified on mount type "bind"'):
        versioned.as_meant(body, (1, 42))


def test_read_only_was_not_recursive() -> None:
    for version, expected in (((1, 43), wire.BindOptions(read_only_non_recursive=True)), ((1, 44), None)):
        assert host_of(create(MOUNT), version).mounts[0].bind_options == expected


def test_what_needs_a_newer_version_is_refused() -> None:
    forced = wire.Mount(type="bind", bind_options=wire.BindOptions(read_only_force_recursive=True))
    part = wire.Mount(type="volume", volume_options=wire.VolumeOptions(subpath="a"))
    two = wire.ContainerCreate(
        image="busybox", networking_config=wire.NetworkingConfig(endpoints_config={"a": None, "b": None})
    )
    for body, last in ((create(forced), 43), (create(part), 44), (two, 43)):
        with pytest.raises(Invalid, match="newer"):
            versioned.as_meant(body, (1, last))
        versioned.as_meant(body, (1, last + 1))


def test_names_of_images() -> None:
    tagged, bare = wire.ImageSummary(repo_tags=["a:1"]), wire.ImageSummary()
    assert versioned.listed_image(tagged, (1, 42)).repo_digests is None
    assert versioned.listed_image(tagged, (1, 43)).repo_digests == []
    assert versioned.listed_image(bare, (1, 42)).repo_tags == ["<none>:<none>"]
    assert versioned.listed_image(bare, (1, 43)).repo_tags == []


def test_names_of_security_options() -> None:
    info = wire.Info(security_options=["name=seccomp,profile=builtin", "name=cgroupns"])
    assert versioned.info(info, (1, 24)).security_options == ["seccomp", "cgroupns"]
    assert versioned.info(info, (1, 25)) is info


def test_aliases_of_user_defined_networks_had_the_short_id() -> None:
    settings = wire.NetworkSettings(
        networks={"bridge": wire.EndpointSettings(), "mine": wire.EndpointSettings(aliases=["a"])}
    )
    inspect = wire.ContainerInspect(
        id="0123456789abcdef", config=wire.Config(hostname="box"), network_settings=settings
    )
    old = versioned.container(inspect, (1, 44)).network_settings.networks
    assert (old["bridge"].aliases, old["mine"].aliases) == (None, ["a", "0123456789ab", "box"])
    assert versioned.container(inspect, (1, 45)) is inspect
