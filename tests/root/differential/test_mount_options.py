"""Binds with propagation and depth, tmpfs options, and what is refused of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.root.differential.conftest import Same, long_after
from tests.servers.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]

Both = tuple[Engine, Engine]


def _on_host(engine: Engine, *command: str) -> None:
    """Run it in the engine's own mount namespace."""
    engine.ok("run", "--rm", "--privileged", "--pid", "host", "busybox", "nsenter", "-t", "1", "-m", *command)


@pytest.fixture
def mounted(both: Both) -> Iterator[Both]:
    """In each share: `depth`, a private mount with another one in `depth/below`, and `spread`, a shared one."""
    for engine in both:
        share = str(engine.share)
        script = f"""cd {share}; mkdir -p depth spread; mount -t tmpfs x depth; mount --make-private depth
            mkdir depth/below; mount -t tmpfs x depth/below; mount -t tmpfs x spread; mount --make-shared spread
            mkdir spread/more"""
        _on_host(engine, "sh", "-ec", script)
    yield both
    for engine in both:
        engine.clean()
        _on_host(
            engine, "sh", "-ec", f"cd {engine.share}; umount -l depth; umount -l spread; rmdir depth spread"
        )


DEPTHS = [
    ["-v", "SHARE/depth:/t"],
    ["-v", "SHARE/depth:/t:ro"],
    ["-v", "SHARE/depth:/t:ro,z,cached"],
    ["--mount", "type=bind,src=SHARE/depth,dst=/t,readonly"],
    ["--mount", "type=bind,src=SHARE/depth,dst=/t,bind-recursive=disabled"],
    ["--mount", "type=bind,src=SHARE/depth,dst=/t,readonly,bind-recursive=writable"],
    [
        "--mount",
        "type=bind,src=SHARE/depth,dst=/t,readonly,bind-recursive=readonly,bind-propagation=rprivate",
    ],
    ["--mount", "type=bind,src=SHARE/depth,dst=/t,bind-recursive=readonly"],
    ["--mount", "type=bind,src=SHARE/depth,dst=/t,consistency=delegated"],
]
MODES = ["rprivate", "private", "rslave", "slave", "rshared", "shared"]


@pytest.mark.long
def test_how_deep_a_bind_goes(mounted: Both, same: Same) -> None:
    script = "touch /t/a 2>&1; touch /t/below/b 2>&1; grep -c ' /t[ /]' /proc/self/mountinfo; rm -f /t/a /t/below/b"
    for options in DEPTHS:
        same("run", "--rm", *options, "busybox", "sh", "-c", script)


@pytest.mark.long
def test_propagation(mounted: Both, same: Same) -> None:
    show = "sed -n 's/^.* \\(\\/t\\|\\/t\\/below\\) [^ ]* \\([a-z]*\\).*/\\1 \\2/p' /proc/self/mountinfo"
    for mode in MODES:
        same("run", "--rm", "-v", f"SHARE/spread:/t:{mode}", "busybox", "sh", "-c", show)
        # What is not shared on the host cannot be in a container.
        same("run", "--rm", "-v", f"SHARE/depth:/t:{mode}", "busybox", "true")


def test_a_mount_travels(mounted: Both) -> None:
    told = []
    for engine in mounted:
        modes = ("rslave", "rprivate", "rshared")
        for mode in modes:
            options = ("--name", mode, "--privileged", "-v", f"{engine.share}/spread:/t:{mode}")
            engine.ok("run", "-d", *options, "busybox", "sleep", "60")
        _on_host(engine, "mount", "-t", "tmpfs", "y", f"{engine.share}/spread/more")
        look = ("grep", "-q", " /t/more ", "/proc/self/mountinfo")
        seen = [engine.docker("exec", mode, *look).code for mode in modes]
        engine.ok("exec", "rshared", "umount", "/t/more")
        told.append((seen, engine.docker("exec", "rslave", *look).code))
    assert told[0] == told[1] == ([0, 1, 0], 1)


@pytest.mark.parametrize(
    "mount",
    [
        {"Type": "bind", "Source": "/nowhere", "Target": "/t"},
        {"Type": "bind", "Source": "SHARE/new", "Target": "/t", "BindOptions": {"CreateMountpoint": True}},
        {"Type": "bind", "Source": "relative", "Target": "/t"},
        {"Type": "bind", "Target": "/t"},
        {"Type": "bind", "Source": "/tmp", "Target": ""},
        {"Type": "bind", "Source": "/tmp", "Target": "/"},
        {"Type": "bind", "Source": "/tmp", "Target": "relative"},
        {"Type": "bind", "Source": "/tmp", "Target": "/t", "BindOptions": {"Propagation": "odd"}},
        {"Type": "bind", "Source": "/tmp", "Target": "/t", "VolumeOptions": {"NoCopy": True}},
        {"Type": "bind", "Source": "/tmp", "Target": "/t", "BindOptions": {"ReadOnlyNonRecursive": True}},
        {"Type": "bind", "Source": "/tmp", "Target": "/t", "BindOptions": {"ReadOnlyForceRecursive": True}},
        {
            "Type": "bind",
            "Source": "/tmp",
            "Target": "/t",
            "ReadOnly": True,
            "BindOptions": {"ReadOnlyNonRecursive": True, "ReadOnlyForceRecursive": True},
        },
        {"Type": "tmpfs", "Source": "x", "Target": "/t"},
        {"Type": "tmpfs", "Target": "/t", "BindOptions": {"Propagation": "private"}},
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o700}},
        {"Type": "odd", "Target": "/t"},
        {"Type": "", "Target": "/t"},
    ],
)
def test_mounts_by_the_api(both: Both, mount: dict[str, object]) -> None:
    told = []
    for engine in both:
        own = {
            key: value.replace("SHARE", str(engine.share)) if isinstance(value, str) else value
            for key, value in mount.items()
        }
        body = {"Image": "busybox", "Cmd": ["df", "-k", "/t"], "HostConfig": {"Mounts": [own]}}
        made = engine.api("POST", "/v1.44/containers/create?name=box", body)
        started = engine.api("POST", "/v1.44/containers/box/start") if made.status == 201 else made
        told.append((made.status, made.message, started.status, started.message))
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "options",
    long_after(
        6,
        [
            ["--tmpfs", "/t:odd"],
            ["--tmpfs", "/t:odd=1"],
            ["--tmpfs", "relative"],
            ["--tmpfs", "/"],
            ["-v", "/tmp:/t:odd"],
            ["-v", "/tmp:/t:ro,rw"],
            ["-v", "/tmp:/"],
            ["-v", "/tmp:relative"],
            ["-v", ":/t"],
            ["-v", "/tmp:/t:ro:x"],
            ["-v", "/tmp:/t", "--mount", "type=bind,src=/tmp,dst=/t"],
            ["--mount", "type=bind,src=/tmp,dst=/t", "--mount", "type=tmpfs,dst=/t"],
            ["--tmpfs", "/t", "--mount", "type=tmpfs,dst=/t"],
            ["-v", "/tmp:/etc", "-v", "SHARE/users:/etc/passwd"],
        ],
    ),
)
def test_mounts_by_the_client(both: Both, same: Same, options: list[str]) -> None:
    for engine in both:
        (engine.share / "users").write_text("root:x:0:0:root:/root:/bin/sh\n")
    same("run", "--rm", *options, "busybox", "sh", "-c", "cat /etc/passwd | wc -l")
