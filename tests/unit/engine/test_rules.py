"""The engine's pure rules: restart policies, signals, keys, ports, mounts, the merge with an image."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hostagent import wire
from hostagent.engine import detachkeys, filters, merge, validate
from hostagent.engine.files import mountspec, volumespec
from hostagent.engine.isolation import capabilities
from hostagent.engine.life import restarts
from hostagent.engine.networks import ports
from hostagent.engine.state import PublishedPort, State
from hostagent.engine.views import ago
from hostagent.errors import Invalid
from hostagent.model.image import Image, ImageConfig, Platform

CONTAINER_ID = "ab" * 32


def image(**config: object) -> Image:
    return Image(
        id="sha256:" + "00" * 32,
        platform=Platform("linux", "amd64"),
        config=ImageConfig(**config),  # type: ignore[arg-type]  # keywords of the dataclass
        diff_ids=(),
    )


def completed(base: Image | None = None, **body: object) -> wire.ContainerCreate:
    create = wire.ContainerCreate(image="x", **body)  # type: ignore[arg-type]  # keywords of the struct
    return merge.complete(create, base or image(cmd=("sh",)), CONTAINER_ID)


@pytest.mark.parametrize(
    ("policy", "limit", "code", "restarts_before", "by_hand", "again"),
    [
        ("no", 0, 1, 0, False, False),
        ("always", 0, 0, 5, False, True),
        ("always", 0, 0, 5, True, False),
        ("unless-stopped", 0, 137, 0, False, True),
        ("unless-stopped", 0, 137, 0, True, False),
        ("on-failure", 0, 0, 0, False, False),
        ("on-failure", 0, 3, 100, False, True),
        ("on-failure", 2, 3, 1, False, True),
        ("on-failure", 2, 3, 2, False, False),
    ],
)
def test_restart_policy(
    policy: str, limit: int, code: int, restarts_before: int, by_hand: bool, again: bool
) -> None:
    state = State(phase="running", restarts=restarts_before, stopped_by_hand=by_hand)
    rule = wire.RestartPolicy(name=policy, maximum_retry_count=limit)
    assert restarts.wanted(rule, state, code) is again


def test_restart_at_boot_revives_always_but_not_unless_stopped() -> None:
    state = State(phase="exited", stopped_by_hand=True, started_ns=1, exit_code=137)
    assert restarts.wanted_at_boot(wire.RestartPolicy(name="always"), state)
    assert restarts.wanted_at_boot(wire.RestartPolicy(name="on-failure"), state)
    assert not restarts.wanted_at_boot(wire.RestartPolicy(name="unless-stopped"), state)
    assert not restarts.wanted_at_boot(wire.RestartPolicy(name="always"), State(phase="created"))


def test_back_off_doubles_up_to_a_minute_and_starts_anew_after_a_steady_run() -> None:
    state = State()
    delays = []
    for seconds in (1, 1, 1, 11, 1):
        state = replace(state, short_runs=restarts.streak(state, 0, seconds * 10**9))
        delays.append(restarts.delay(state))
    assert delays == [0.1, 0.2, 0.4, 0.1, 0.2]
    assert restarts.delay(State(short_runs=30)) == 60.0


@pytest.mark.parametrize(
    ("text", "number"),
    [("9", 9), ("KILL", 9), ("SIGTERM", 15), ("sigint", 2), ("RTMIN+3", 37), ("SIGRTMAX-14", 50), ("IOT", 6)],
)
def test_signal_number(text: str, number: int) -> None:
    assert validate.signal_number(text) == number


@pytest.mark.parametrize(
    "text", ["0", "33", "65", "NOPE", "TERM+1", "RTMIN+x", "RTMIN+16", "RTMIN-1", "RTMIN+70"]
)
def test_bad_signal(text: str) -> None:
    with pytest.raises(Invalid, match=r"invalid signal|does not support signal"):
        validate.signal_number(text)


def test_detach_keys() -> None:
    assert detachkeys.parse("") == b"\x10\x11"
    assert detachkeys.parse("ctrl-a,d") == b"\x01d"
    assert detachkeys.parse("ctrl-[") == b"\x1b"
    with pytest.raises(Invalid):
        detachkeys.parse("ctrl-1")


def test_every_host_field_is_built_or_refused() -> None:
    """A field added to the wire type must be decided on, not ignored."""
    built = {
        "binds", "log_config", "network_mode", "port_bindings", "restart_policy", "auto_remove", "console_size",
        "cap_add", "cap_drop", "dns", "dns_options", "dns_search", "extra_hosts", "oom_score_adj", "publish_all_ports",
        "readonly_rootfs", "security_opt", "tmpfs", "shm_size", "sysctls", "cpu_shares", "memory", "nano_cpus",
        "cpu_period", "cpu_quota", "cpuset_cpus", "cpuset_mems", "memory_reservation", "memory_swap", "pids_limit",
        "ulimits", "mounts", "init", "cgroup_parent", "cpu_realtime_period", "cpu_realtime_runtime",
        "blkio_weight", "blkio_weight_device", "blkio_device_read_bps", "blkio_device_write_bps",
        "blkio_device_read_iops", "blkio_device_write_iops", "memory_swappiness", "oom_kill_disable",
        "pid_mode", "ipc_mode", "uts_mode", "userns_mode", "cgroupns_mode", "privileged", "devices",
        "device_cgroup_rules", "device_requests", "group_add", "annotations", "masked_paths",
        "readonly_paths", "runtime", "isolation", "storage_opt", "links", "volumes_from", "volume_driver",
    }  # fmt: skip
    refused_or_discarded_with_a_warning = {  # by engine/limits.py
        "kernel_memory", "kernel_memory_tcp", "cpu_count", "cpu_percent", "io_maximum_iops", "io_maximum_bandwidth",
    }  # fmt: skip
    told_by_the_client_only = {"container_id_file"}
    decided = (
        built | refused_or_discarded_with_a_warning | told_by_the_client_only | set(validate.UNSUPPORTED)
    )
    assert set(wire.HostConfig.__struct_fields__) == decided


def test_network_modes() -> None:
    assert validate.network_mode(wire.HostConfig(network_mode="default")) == "bridge"
    assert validate.network_mode(wire.HostConfig(network_mode="web")) == "web"
    assert validate.network_mode(wire.HostConfig(network_mode="container:x")) == "container:x"


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "expected"),
    [
        (None, None, ("/entry", "arg")),
        (None, ["own"], ("/entry", "own")),
        (["/mine"], None, ("/mine",)),
        (["/mine"], ["own"], ("/mine", "own")),
        ([""], ["own"], ("own",)),
    ],
)
def test_command_merge(
    entrypoint: list[str] | None, cmd: list[str] | None, expected: tuple[str, ...]
) -> None:
    base = image(entrypoint=("/entry",), cmd=("arg",))
    assert merge.command(completed(base, entrypoint=entrypoint, cmd=cmd)) == expected


def test_merge_environment_labels_and_defaults() -> None:
    base = image(
        cmd=("sh",),
        env=("A=1", "B=2"),
        labels={"a": "1", "b": "2"},
        working_dir="/w",
        exposed_ports=("80/tcp",),
    )
    config = completed(base, env=["B=3"], labels={"b": "3"})
    assert config.env == ["B=3", "A=1"]
    assert config.labels == {"a": "1", "b": "3"}
    assert config.working_dir == "/w"
    assert config.hostname == CONTAINER_ID[:12]
    assert config.exposed_ports == {"80/tcp": {}}


def test_no_command_is_refused() -> None:
    with pytest.raises(Invalid, match="no command specified"):
        completed(image())


def test_ports() -> None:
    host = wire.HostConfig(
        port_bindings={
            "80/tcp": [
                wire.PortBinding(host_port="8080"),
                wire.PortBinding(host_ip="127.0.0.1", host_port="9000-9010"),
            ],
            "53/udp": None,
        }
    )
    found = [str(binding) for binding in ports.parse_bindings(wire.ContainerCreate(image="x"), host)]
    assert found == ["0.0.0.0:8080->80/tcp", "127.0.0.1:9000->80/tcp", "0.0.0.0:0->53/udp"]


@pytest.mark.parametrize("key", ["0/tcp", "70000/tcp", "x/tcp", "80/icmp", ""])
def test_bad_port(key: str) -> None:
    with pytest.raises(Invalid):
        ports.parse_port(key)


def test_port_map_shows_exposed_and_published() -> None:
    shown = ports.port_map(["80/tcp", "81/tcp"], [PublishedPort("tcp", "", 8080, 80)])
    assert shown["81/tcp"] is None
    assert shown["80/tcp"] == [wire.PortBinding(host_ip="0.0.0.0", host_port="8080")]


def test_binds() -> None:
    host = wire.HostConfig(binds=["/a:/b:ro", "/c/:/d/:rslave"])
    first, second = mountspec.parse_binds(host)
    assert (first.source, first.destination, first.read_only) == ("/a", "/b", True)
    assert (second.source, second.destination, second.propagation) == ("/c", "/d", "rslave")


@pytest.mark.parametrize(
    "bind",
    [
        "/a:d",
        "/a:/",
        "/a:/b:bad",
        "/a:/b:nocopy",
        "/a:/b:ro:x",
        ":/b",
        "/a:",
        "/a:ro",
        "/a:/b:ro,rw",
        "/a:/b:z,Z",
    ],
)
def test_bad_binds(bind: str) -> None:
    with pytest.raises(Invalid):
        mountspec.parse_binds(wire.HostConfig(binds=[bind]))


def test_a_bind_without_a_path_of_the_host_is_a_volume() -> None:
    host = wire.HostConfig(binds=["data:/d:ro,nocopy", "/e", "/a:/b"])
    named, anonymous = volumespec.wanted(host)
    assert (named.name, named.destination, named.read_only, named.copy) == ("data", "/d", True, False)
    assert (anonymous.name, anonymous.destination, anonymous.copy) == ("", "/e", True)
    assert [bind.destination for bind in mountspec.parse_binds(host)] == ["/b"]


def test_capabilities() -> None:
    assert "CAP_CHOWN" not in capabilities.effective(None, ["CHOWN"])
    assert capabilities.effective(["NET_ADMIN"], ["all"]) == ("CAP_NET_ADMIN",)
    assert "CAP_SYS_ADMIN" in capabilities.effective(["ALL"], ["CAP_MKNOD"])
    assert "CAP_MKNOD" not in capabilities.effective(["ALL"], ["CAP_MKNOD"])
    with pytest.raises(Invalid, match="unknown capability"):
        capabilities.effective(["FLY"], None)


@pytest.mark.parametrize(
    ("seconds", "phrase"),
    [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (61, "About a minute"),
        (7200, "2 hours"),
        (86400 * 3, "3 days"),
    ],
)
def test_ago(seconds: int, phrase: str) -> None:
    assert ago(seconds * 10**9) == phrase


def test_unknown_filters_are_errors() -> None:
    with pytest.raises(Invalid, match="invalid filter 'nope'"):
        filters.check({"nope": ["x"]})
    with pytest.raises(Invalid, match="status=odd"):
        filters.check({"status": ["odd"]})
    with pytest.raises(Invalid, match="health: fine"):
        filters.check({"health": ["fine"]})
