"""Spelling, omission and lenient reading of the JSON types."""

from __future__ import annotations

import inspect
import json
import re

import msgspec
import pytest

from hostagent import wire
from hostagent.wire import config, container, exec, hostconfig, image, network, system
from hostagent.wire.base import Wire, docker_name

ALL = [
    kind
    for module in (config, container, exec, hostconfig, image, network, system)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, Wire) and kind.__module__ == module.__name__
]


@pytest.mark.parametrize(
    ("field", "key"),
    [
        ("cpu_period", "CpuPeriod"),
        ("uts_mode", "UTSMode"),
        ("ipc_mode", "IpcMode"),
        ("oom_killed", "OOMKilled"),
        ("id", "Id"),
        ("dns", "Dns"),
        ("cpuset_cpus", "CpusetCpus"),
        ("io_maximum_iops", "IOMaximumIOps"),
        ("image_id", "ImageID"),
        ("root_fs", "RootFS"),
    ],
)
def test_spelling(field: str, key: str) -> None:
    assert docker_name(field) == key


def test_every_type_is_known() -> None:
    assert len(ALL) > 50


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_type_is_its_own_default_and_survives_the_wire(kind: type[Wire]) -> None:
    """An empty object is read as all defaults; what is written is read back the same."""
    empty = wire.decode(b"{}", kind)
    assert wire.decode(wire.encode(empty), kind) == empty


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_null_is_not_given(kind: type[Wire]) -> None:
    """Go reads null into anything."""
    nulls = {field.encode_name: None for field in msgspec.structs.fields(kind)}
    nothing_given = wire.decode(json.dumps(nulls), kind)
    assert nothing_given == wire.decode(b"{}", kind)


def test_defaults_are_shown_or_omitted_as_in_go() -> None:
    written = json.loads(wire.encode(wire.HostConfig()))
    assert written["Binds"] is None
    assert written["Privileged"] is False
    assert written["RestartPolicy"] == {"Name": "", "MaximumRetryCount": 0}
    assert not {"Mounts", "Tmpfs", "Sysctls", "Runtime", "Init", "Annotations", "StorageOpt"} & set(written)
    assert json.loads(wire.encode(wire.WaitResult())) == {"StatusCode": 0}
    assert json.loads(wire.encode(wire.ExecInspect()))["ExitCode"] is None
    assert json.loads(wire.encode(wire.ContainerCreated(id="x"))) == {"Id": "x", "Warnings": []}
    assert json.loads(wire.encode(wire.Config(shell=["sh"], stop_timeout=0)))["StopTimeout"] == 0


def test_a_create_body_as_clients_send_it() -> None:
    body: dict[str, object] = {
        "Image": "busybox",
        "Cmd": "ls -l",  # a string counts as a list of one
        "Entrypoint": None,
        "Env": ["A=b"],
        "ExposedPorts": {"80/tcp": {}},
        "Healthcheck": None,
        "StopTimeout": None,
        "Volumes": {"/data": {}},
        "NoSuchField": 1,
        "HostConfig": {
            "Memory": None,
            "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}], "81/tcp": None},
            "ConsoleSize": [24, 80],
            "CapAdd": "NET_ADMIN",
            "Mounts": [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1, "Mode": 448}}],
            "LogConfig": {"Type": "json-file", "Config": None},
        },
        "NetworkingConfig": {"EndpointsConfig": {"bridge": None}},
    }
    create = wire.decode(json.dumps(body), wire.ContainerCreate)
    assert (create.cmd, create.entrypoint, create.stop_timeout) == (["ls -l"], None, None)
    host = create.host_config
    assert host is not None
    assert host.port_bindings == {"80/tcp": [wire.PortBinding(host_port="8080")], "81/tcp": None}
    assert (host.console_size, host.cap_add, host.memory) == ((24, 80), ["NET_ADMIN"], 0)
    assert host.mounts[0].tmpfs_options == wire.TmpfsOptions(size_bytes=1, mode=0o700)
    assert create.networking_config == wire.NetworkingConfig(endpoints_config={"bridge": None})


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"Env": [1]}', "$.Env[0]"),
        (b'{"HostConfig": {"Memory": "1g"}}', "$.HostConfig.Memory"),
        (b"{", "truncated"),
    ],
)
def test_what_does_not_fit_is_named(body: bytes, where: str) -> None:
    with pytest.raises(ValueError, match=re.escape(where)):
        wire.decode(body, wire.ContainerCreate)


def test_wire_objects_do_not_change() -> None:
    with pytest.raises(AttributeError):
        wire.Config().image = "x"  # type: ignore[misc] # that is the point
