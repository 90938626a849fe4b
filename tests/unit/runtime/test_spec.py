"""config.json at the edge: typed, or refused by the name of the field."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from hostagent.errors import EngineError, Invalid, Unsupported
from hostagent.kernel import capabilities
from hostagent.kernel.resources import DeviceRule
from hostagent.runtime import spec as specs


def document(**changes: Any) -> dict[str, Any]:
    return {"process": {"args": ["true"]}, "root": {"path": "rootfs"}, **changes}


def parse(**changes: Any) -> specs.Spec:
    return specs.parse(json.dumps(document(**changes)))


def test_defaults() -> None:
    spec = parse()
    assert spec.process == specs.Process(args=("true",))
    assert (spec.root_path, spec.cgroups_path, spec.namespaces, spec.supervised) == ("rootfs", "", (), False)


def test_null_is_absent() -> None:
    assert parse(mounts=None, linux=None, annotations=None, hooks=None, hostname=None) == parse()


def test_all_that_is_acted_on() -> None:
    spec = parse(
        process={
            "args": ["a", "b"],
            "env": ["A=b"],
            "cwd": "/w",
            "terminal": True,
            "consoleSize": {"height": 24, "width": 80},
            "user": {"uid": 1, "gid": 2, "additionalGids": [3], "umask": 0o27, "username": "x:y"},
            "capabilities": {"bounding": ["CAP_CHOWN"]},
            "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 18446744073709551615}],
            "noNewPrivileges": True,
            "oomScoreAdj": -5,
        },
        mounts=[{"destination": "proc", "type": "proc", "source": "proc", "options": ["nosuid"]}],
        annotations={specs.SECCOMP_ANNOTATION: "/p.bpf", specs.INIT_ANNOTATION: "true"},
        linux={
            "namespaces": [{"type": "pid"}, {"type": "network", "path": "/run/netns/x"}],
            "devices": [
                {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 7}
            ],
            "cgroupsPath": "/a/b",
            "resources": {
                "devices": [
                    {"allow": False, "access": "rwm"},
                    {"allow": True, "type": "c", "major": 1, "minor": -1},
                ],
                "memory": {"limit": 5},
                "unified": {"memory.high": "7"},
            },
            "sysctl": {"net.ipv4.ip_forward": "1"},
        },
    )
    process = spec.process
    assert process.console_size == (24, 80)
    assert process.user == specs.User(1, 2, (3,), 0o27, "x:y")
    assert process.capabilities is not None
    assert process.capabilities.bounding == capabilities.mask(["CAP_CHOWN"])
    assert process.rlimits == (specs.Rlimit("RLIMIT_CORE", 0, 2**64 - 1),)
    assert spec.mounts == (specs.Mount("/proc", "proc", "proc", ("nosuid",)),)
    assert spec.makes("pid")
    assert not spec.new_network_namespace
    assert spec.devices == (specs.Device("/dev/fuse", "c", os.makedev(10, 229), 0o640, 7, 0),)
    assert spec.resources.devices == (DeviceRule(False), DeviceRule(True, "c", 1, None))
    assert spec.resources.unified == (("memory.high", "7"),)
    assert (spec.seccomp_path, spec.supervised) == ("/p.bpf", True)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"process": {"args": []}}, Invalid, "process.args must name a command"),
        ({"process": {"args": "true"}}, Invalid, "process.args must be a list"),
        ({"process": {"args": ["a\0b"]}}, Invalid, "process.args must hold strings"),
        ({"process": {"args": ["a"], "cwd": "x"}}, Invalid, "cwd must be absolute"),
        (
            {"process": {"args": ["a"], "user": {"uid": "0"}}},
            Invalid,
            "process.user.uid must be a whole number",
        ),
        ({"process": {"args": ["a"], "terminal": 1}}, Invalid, "process.terminal must be true or false"),
        ({"process": {"args": ["a"], "scheduler": {"policy": "x"}}}, Unsupported, "process.scheduler"),
        (
            {"process": {"args": ["a"], "capabilities": {"bounding": ["CAP_X"]}}},
            Invalid,
            "unknown capability 'CAP_X'",
        ),
        ({"root": {}}, Invalid, "root.path is missing"),
        ({"mounts": [{}]}, Invalid, "mounts[0].destination is missing"),
        ({"hooks": {"prestart": [{}]}}, Unsupported, "hooks"),
        ({"linux": {"namespaces": [{"type": "user"}]}}, Invalid, "uidMappings must map 0"),
        ({"linux": {"namespaces": [{"type": "odd"}]}}, Unsupported, "'odd' namespaces"),
        ({"linux": {"uidMappings": [{}]}}, Invalid, "linux.uidMappings[0]"),
        ({"linux": {"timeOffsets": {"realtime": {}}}}, Invalid, "linux.timeOffsets.realtime"),
        ({"linux": {"timeOffsets": {"boottime": {}}}}, Invalid, "new namespace of type time"),
        ({"linux": {"devices": [{"path": "/dev/x", "type": "z"}]}}, Invalid, "linux.devices[0]"),
        ({"linux": {"resources": {"hugepageLimits": [{}]}}}, Invalid, "hugepageLimits[0]"),
        ({"linux": {"resources": {"rdma": {"mlx": {}}}}}, Unsupported, "rdma"),
        ({"linux": {"resources": {"unified": {"../x": "1"}}}}, Invalid, "control file"),
    ],
)
def test_refused_by_name(changes: dict[str, Any], error: type[EngineError], text: str) -> None:
    with pytest.raises(error) as caught:
        parse(**changes)
    assert text in str(caught.value)


def test_not_json() -> None:
    with pytest.raises(Invalid, match="not JSON"):
        specs.parse(b"{")
