"""Parsers and rules of isolation: security options, modes, devices, seccomp profiles, mounts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent import wire
from hostagent.engine.files import mountspec
from hostagent.engine.isolation import devices, namespaces, remap, seccompprofile, security
from hostagent.errors import EngineError, Invalid
from hostagent.kernel import mountinfo, seccomp
from hostagent.runtime import users


def test_security_options() -> None:
    parsed = security.parse(
        ["no-new-privileges", "seccomp=unconfined", "apparmor:own", "label=level:s0", "disable"]
    )
    assert parsed == security.SecurityOptions(True, "unconfined", "own", ("level:s0", "disable"))
    assert security.parse(["no-new-privileges=T"]).no_new_privileges
    assert security.parse(["seccomp=builtin"]).seccomp == ""


@pytest.mark.parametrize("option", ["odd", "odd=1", "no-new-privileges=maybe", ""])
def test_bad_security_option(option: str) -> None:
    with pytest.raises(EngineError, match="invalid --security-opt"):
        security.parse([option])


def test_privileged_has_no_filter_and_no_masks() -> None:
    host = wire.HostConfig(privileged=True, security_opt=["seccomp=builtin"])
    assert security.of(host).seccomp == security.UNCONFINED
    assert security.masked_paths(host) is None
    assert security.masked_paths(wire.HostConfig(masked_paths=[])) == []
    assert "/proc/kcore" in (security.masked_paths(wire.HostConfig()) or ())


@pytest.mark.parametrize(
    ("body", "host", "text"),
    [
        ({}, {"pid_mode": "container:"}, "invalid PID mode"),
        ({}, {"ipc_mode": "odd"}, "invalid IPC mode"),
        ({"hostname": "x"}, {"uts_mode": "host"}, "hostname and the UTS mode"),
        ({"hostname": "x"}, {"network_mode": "container:a"}, "hostname and the network mode"),
        ({}, {"network_mode": "container:a", "links": ["a:b"]}, "can't be used with links"),
        ({}, {"network_mode": "container:"}, "container:<name|id>"),
    ],
)
def test_modes_that_are_refused(body: dict[str, Any], host: dict[str, Any], text: str) -> None:
    with pytest.raises(Invalid, match=text):
        namespaces.check(wire.ContainerCreate(image="x", **body), wire.HostConfig(**host))


def test_device_rules() -> None:
    found = devices.find(wire.HostConfig(device_cgroup_rules=["c 10:* rw", "a *:* rwm"]))
    assert found.rules[-2:] == (
        {"allow": True, "type": "c", "access": "rw", "major": 10, "minor": -1},
        {"allow": True, "type": "a", "access": "rwm", "major": -1, "minor": -1},
    )
    mapping = wire.DeviceMapping(path_on_host="/dev/null", path_in_container="/dev/x", cgroup_permissions="r")
    found = devices.find(wire.HostConfig(devices=[mapping]))
    assert [(node["path"], node["major"], node["minor"]) for node in found.nodes] == [("/dev/x", 1, 3)]
    assert found.rules[-1]["access"] == "r"
    with pytest.raises(Invalid, match=r"capabilities: \[\[gpu\]\]"):
        devices.find(wire.HostConfig(device_requests=[wire.DeviceRequest(capabilities=[["gpu"]])]))


@given(st.text())
def test_a_device_rule_is_right_or_refused(text: str) -> None:
    try:
        devices.find(wire.HostConfig(device_cgroup_rules=[text]))
    except EngineError as error:
        assert text in str(error)


def test_a_profile_of_ones_own() -> None:
    syscall = {
        "names": ["mkdir"],
        "action": "SCMP_ACT_ERRNO",
        "errnoRet": 13,
        "includes": {"minKernel": "5.1"},
    }
    profile = seccompprofile.parse(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [syscall]}))
    assert profile is not None
    assert profile.default == seccomp.ALLOW
    (entry,) = profile.rules
    assert entry.rule == seccomp.Rule(("mkdir",), seccomp.errno_action(13))
    assert entry.includes.min_kernel == (5, 1)
    assert seccompprofile.parse("{}") is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["syscalls", "names", "action"]), inner),
)


@given(json_values)
def test_any_json_is_a_profile_or_refused(value: object) -> None:
    try:
        seccompprofile.parse(json.dumps(value))
    except EngineError as error:
        assert "seccomp" in str(error) or "profile" in str(error)


@pytest.mark.parametrize("mode", ["ro,rw", "z,Z", "rshared,rslave", "nocopy,odd", "ro,ro", ","])
def test_a_bind_has_one_option_of_a_kind(mode: str) -> None:
    with pytest.raises(Invalid, match="invalid mode"):
        mountspec.parse_binds(wire.HostConfig(binds=[f"/a:/b:{mode}"]))


def test_how_deep_a_bind_goes() -> None:
    options = wire.BindOptions(non_recursive=True, read_only_non_recursive=True)
    entry = wire.Mount(type="bind", source="/a", target="/b", read_only=True, bind_options=options)
    (bind,) = mountspec.parse_binds(wire.HostConfig(mounts=[entry]))
    assert (bind.recursive, bind.access) == (False, "ro")
    (deep,) = mountspec.parse_binds(wire.HostConfig(binds=["/a:/b:ro,z"]))
    assert (deep.recursive, deep.access) == (True, "rro")


def test_mountinfo() -> None:
    line = r"36 35 98:0 /mnt1 /mnt\0402 rw,noatime shared:1 master:2 - ext3 /dev/root rw"
    assert mountinfo.parse(line) == mountinfo.Mounted("/mnt 2", shared=True, slave=True)
    assert mountinfo.holding("/proc/self").mountpoint.startswith("/proc")


def test_further_groups() -> None:
    text = "root:x:0:\nstaff:x:50:www\n123:x:7:\n"
    assert users.further_groups(["staff", "4711", "123"], text) == (50, 4711, 7)
    with pytest.raises(users.UnknownUserError, match="Unable to find group ghosts"):
        users.further_groups(["ghosts"], text)


def test_subordinate_ids(tmp_path: Path) -> None:
    subuid, subgid = tmp_path / "subuid", tmp_path / "subgid"
    subuid.write_text("nobody:1000:10\nother:5:5\nnobody:3000:20\nbroken\n")
    subgid.write_text("nogroup:7:70\n")
    found = remap.configured("nobody:nogroup", subuid, subgid)
    assert found == remap.Remap(((1000, 10), (3000, 20)), ((7, 70),))
    assert found.linux()["uidMappings"] == [
        {"containerID": 0, "hostID": 1000, "size": 10},
        {"containerID": 10, "hostID": 3000, "size": 20},
    ]
    assert remap.configured("", subuid, subgid) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("root", "root cannot be remapped"),
        ("ghost-user", "no user"),
        ("nobody:ghosts", "no group"),
        ("daemon", "no line"),
    ],
)
def test_no_subordinate_ids(tmp_path: Path, value: str, text: str) -> None:
    with pytest.raises(Invalid, match=text):
        remap.configured(value, tmp_path / "subuid", tmp_path / "subgid")
