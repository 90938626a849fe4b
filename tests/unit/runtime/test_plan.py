"""What is decided about a root file system, before anything is done."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hostagent.errors import Invalid
from hostagent.kernel import constants as c
from hostagent.runtime import mount_options, steps
from hostagent.runtime import spec as specs
from hostagent.runtime.plan import FilesystemPlan, plan, split_lowerdir

OVERLAY = {
    "destination": "/",
    "type": "overlay",
    "source": "overlay",
    "options": ["lowerdir=/l/2:/l/1", "upperdir=/u", "workdir=/w", "volatile"],
}


def planned(bundle: str = "/b", **changes: Any) -> FilesystemPlan:
    document = {"process": {"args": ["true"]}, "root": {"path": "rootfs"}, **changes}
    return plan(specs.parse(json.dumps(document)), bundle)


def test_reads_as_prose() -> None:
    found = planned(
        mounts=[
            OVERLAY,
            {"destination": "/proc", "type": "proc"},
            {"destination": "/d", "source": "src", "type": "bind"},
        ],
        root={"path": "rootfs", "readonly": True},
        linux={"maskedPaths": ["/proc/keys"], "readonlyPaths": ["/proc/sys"]},
    )
    build = [step.describe() for step in found.build]
    assert build[:5] == [
        "set the propagation of /",
        "mount overlay of 2 layer(s) on /b/rootfs",
        "mount proc on /proc",
        "bind /b/src to /d",
        "make device /dev/null",
    ]
    assert [step.describe() for step in found.seal] == [
        "make /proc/sys read-only",
        "mask /proc/keys",
        "make the root read-only",
        "pivot into the new root",
    ]


def test_overlay_root() -> None:
    found = planned(mounts=[OVERLAY]).build[1]
    assert found == steps.OverlayRoot("/b/rootfs", ("/l/2", "/l/1"), "/u", "/w", 0, ("volatile",))


def test_a_plain_root_is_bound() -> None:
    assert planned().build[1] == steps.BindRoot("/b/rootfs")
    assert planned(root={"path": "/elsewhere"}).build[1] == steps.BindRoot("/elsewhere")


def test_a_bound_dev_is_left_alone() -> None:
    bound = planned(mounts=[{"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind"]}])
    assert not [step for step in bound.build if isinstance(step, steps.MakeNode | steps.MakeLink)]


def test_bind_options() -> None:
    options = ["rbind", "ro", "nosuid", "rslave", "rnoexec"]
    found = planned(mounts=[{"destination": "/d", "type": "bind", "source": "/s", "options": options}]).build[
        2
    ]
    assert found == steps.BindMount(
        "/s",
        "/d",
        recursive=True,
        attr_set=c.MOUNT_ATTR_RDONLY | c.MOUNT_ATTR_NOSUID,
        tree_set=c.MOUNT_ATTR_NOEXEC,
        propagation=c.MS_SLAVE | c.MS_REC,
    )


@pytest.mark.parametrize(
    "options",
    [["lowerdir=l"], [], ["lowerdir=/l", "upperdir=/u"], ["lowerdir=/l", "upperdir=u", "workdir=/w"]],
)
def test_half_an_overlay_is_refused(options: list[str]) -> None:
    with pytest.raises(Invalid, match="overlay"):
        planned(mounts=[{**OVERLAY, "options": options}])


@pytest.mark.parametrize(
    ("value", "expected"),
    [("/a:/b", ("/a", "/b")), (r"/a\:b:/c", ("/a:b", "/c")), (r"/a\\:/b", ("/a\\", "/b")), ("", ())],
)
def test_lowerdirs_with_colons(value: str, expected: tuple[str, ...]) -> None:
    assert split_lowerdir(value) == expected


@pytest.mark.parametrize("key", ["kernel.panic", "vm.swappiness", "net.ipv4.ip_forward", "kernel.msgmax"])
def test_sysctls_of_the_host_are_refused(key: str) -> None:
    with pytest.raises(Invalid, match="namespace"):
        planned(linux={"sysctl": {key: "1"}})


@pytest.mark.parametrize("key", ["net/../kernel/panic", "net.ipv4/../../kernel/panic"])
def test_sysctls_cannot_climb(key: str) -> None:
    with pytest.raises(Invalid):
        planned(linux={"sysctl": {key: "1"}, "namespaces": [{"type": "network"}]})


def test_sysctls_of_own_namespaces() -> None:
    found = planned(linux={"sysctl": {"net.ipv4.ip_forward": "1"}, "namespaces": [{"type": "network"}]})
    assert found.seal[0] == steps.SetSysctl("net.ipv4.ip_forward", "1")


def test_unknown_propagation() -> None:
    with pytest.raises(Invalid, match="rootfsPropagation"):
        planned(linux={"rootfsPropagation": "sideways"})


def test_mount_options() -> None:
    found = mount_options.parse(["ro", "rw", "noexec", "mode=755", "rprivate", "rro", "rrw", "size=1m"])
    assert found == mount_options.MountOptions(
        flags=c.MS_NOEXEC,
        propagation=c.MS_PRIVATE | c.MS_REC,
        attr_clr=c.MOUNT_ATTR_RDONLY,
        data=("mode=755", "size=1m"),
    )
    assert found.value("size") == "1m"
    assert found.value("uid") is None
