"""What a container may do: --privileged, devices, capabilities, groups, seccomp, masked paths."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.root.differential.conftest import Same, long_after
from tests.servers.engine import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]

STATUS = "grep -E 'Cap|NoNewPrivs|Seccomp:|Groups' /proc/self/status"


@pytest.mark.parametrize(
    "options",
    long_after(
        6,
        [
            ["--privileged"],
            ["-u", "www"],
            ["--cap-add", "net_admin", "--cap-drop", "CAP_CHOWN"],
            ["--cap-drop", "ALL", "--cap-add", "chown"],
            ["--security-opt", "no-new-privileges"],
            ["--group-add", "staff", "--group-add", "4711"],
            [],
            ["--cap-drop", "all"],
            ["--cap-add", "ALL", "--cap-drop", "mknod"],
            ["--security-opt", "no-new-privileges=false"],
            ["--security-opt", "seccomp=unconfined"],
            ["--security-opt", "seccomp=builtin"],
            ["--security-opt", "label=disable"],
            ["--security-opt", "apparmor=ghost"],
            ["--group-add", "ghosts"],
            ["--group-add", "99999999999"],
            ["--group-add", "staff", "-u", "1234:33"],
        ],
    ),
)
def test_rights(same: Same, options: list[str]) -> None:
    same("run", "--rm", *options, "busybox", "sh", "-c", f"id; {STATUS}")


def test_rights_of_an_exec(same: Same) -> None:
    same("run", "-d", "--name", "box", "--group-add", "staff", "busybox", "sleep", "60")
    for options in ([], ["--privileged"], ["-u", "www"], ["--privileged", "-u", "www"]):
        same("exec", *options, "box", "sh", "-c", f"id; {STATUS}")
    same("run", "-d", "--name", "all", "--privileged", "busybox", "sleep", "60")
    same("exec", "all", "sh", "-c", STATUS)


# The mounts as the container sees them, without what names the engine's own folders.
# Justified: dockerd 26.1 does not hide /proc/interrupts; and what hides others is read-only here, so that nobody can
# write to it or change its mode.
MOUNTS = r"""while read -r _ _ _ _ place options rest; do
  case $place in / | /etc/*) ;; *) echo "$place $options ${rest##* - }" ;; esac
done < /proc/self/mountinfo | grep -v -e ' cgroup' -e /proc/interrupts | sed \
  -e 's/ ro,nosuid,noexec - tmpfs tmpfs rw,size=65536k/ rw,nosuid - tmpfs tmpfs rw,size=65536k/' \
  -e 's/ tmpfs ro,size=0k,nr_inodes=1/ tmpfs ro/'"""


@pytest.mark.parametrize(
    "options",
    long_after(
        3,
        [
            ["--privileged"],
            ["--read-only", "--tmpfs", "/tmp"],
            ["--tmpfs", "/x:size=1m,mode=700,exec,uid=33"],
            [],
            ["--read-only"],
            ["--ipc", "none"],
            ["--tmpfs", "/x"],
            ["--mount", "type=tmpfs,dst=/x,tmpfs-size=1m,tmpfs-mode=1770"],
            ["--tmpfs", "/dev/shm"],
        ],
    ),
)
def test_mounts(same: Same, options: list[str]) -> None:
    masked = "cat /proc/kcore | wc -c; ls /sys/firmware | wc -l; touch /proc/sys/kernel/x 2>&1; stat -c '%a %U' /x /tmp"
    same("run", "--rm", *options, "busybox", "sh", "-c", f"({MOUNTS}) | sort; {masked}")


@pytest.mark.parametrize("options", [["--security-opt", "systempaths=unconfined"], ["--privileged"]])
def test_nothing_is_masked(engine: Engine, options: list[str]) -> None:
    shown = engine.ok("run", "--rm", *options, "busybox", "cat", "/proc/self/mountinfo")
    assert not [line for line in shown.splitlines() if line.split()[4].startswith("/proc/")]


def test_own_masks(both: tuple[Engine, Engine]) -> None:
    told = []
    for engine in both:
        body = {
            "Image": "busybox",
            "Cmd": ["sh", "-c", "grep -c . /proc/self/mountinfo; cat /etc/passwd; touch /etc/x"],
            "HostConfig": {"MaskedPaths": ["/etc/passwd"], "ReadonlyPaths": ["/etc"]},
        }
        assert engine.api("POST", "/v1.44/containers/create?name=box", body).status == 201
        done = engine.docker("start", "-a", "box")
        told.append((done.code, done.out.splitlines()[1:], done.err))
    assert told[0] == told[1]


DEV = "ls -l /dev | sed 's/ [A-Z][a-z][a-z] .*:[0-9]* / /' | sort"


@pytest.mark.parametrize(
    "options",
    long_after(
        5,
        [
            ["--device", "/dev/zero:/dev/nothing:r"],
            ["--device", "/dev/ghost"],
            ["--gpus", "all"],
            ["--device-cgroup-rule", "c 10:* r", "--device-cgroup-rule", "b 7:0 w"],
            ["--device", "/etc/apt"],
            [],
            ["--device", "/dev/zero:/dev/nothing"],
            ["--device", "/etc/passwd"],
            ["--device", "/dev/zero:/dev/nothing:odd"],
            ["--device-cgroup-rule", "c 10:229 rwm"],
        ],
    ),
)
def test_devices(same: Same, options: list[str]) -> None:
    same("run", "--rm", *options, "busybox", "sh", "-c", f"{DEV}; cat /dev/nothing | head -c 3 | wc -c")


def test_all_devices(engine: Engine) -> None:
    """Of what the host has, also what may be a name of another kind there."""
    shown = engine.ok(
        "run", "--rm", "--privileged", "-v", "/dev:/host", "busybox", "sh", "-c", "ls /dev; ls /host"
    )
    for name in ("null", "full", "tty"):
        assert shown.split().count(name) == 2
    done = engine.ok(
        "run",
        "--rm",
        "--privileged",
        "busybox",
        "sh",
        "-c",
        "mount -t tmpfs x /mnt || mount -t tmpfs x /tmp; mknod /tmp/a c 1 3; echo x > /tmp/a; echo ok",
    )
    assert done == "ok"


def test_device_rules_that_are_wrong(both: tuple[Engine, Engine]) -> None:
    told = []
    for engine in both:
        body = {"Image": "busybox", "HostConfig": {"DeviceCgroupRules": ["odd"]}}
        made = engine.api("POST", "/v1.44/containers/create?name=box", body)
        started = engine.api("POST", "/v1.44/containers/box/start")
        told.append((made.status, started.status, started.message))
    assert told[0] == told[1]


def _profile(default: str, **rest: object) -> str:
    return json.dumps({"defaultAction": default, **rest})


PROFILES = {
    "mkdir": _profile(
        "SCMP_ACT_ALLOW",
        syscalls=[{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13, "args": []}],
    ),
    "name": _profile("SCMP_ACT_ALLOW", syscalls=[{"name": "mkdir", "action": "SCMP_ACT_ERRNO"}]),
    "included": _profile(
        "SCMP_ACT_ALLOW",
        syscalls=[
            {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["rmdir"], "action": "SCMP_ACT_ERRNO", "excludes": {"arches": ["arm64"]}},
        ],
    ),
    "argument": _profile(
        "SCMP_ACT_ALLOW",
        archMap=[{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        syscalls=[
            {
                "names": ["mkdir"],
                "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 1, "value": 0o777, "op": "SCMP_CMP_EQ"}],
            }
        ],
    ),
    "killing": _profile("SCMP_ACT_ALLOW", syscalls=[{"names": ["mkdir"], "action": "SCMP_ACT_KILL_PROCESS"}]),
}


@pytest.mark.parametrize(
    "name",
    [
        "included",
        "argument",
        *(pytest.param(name, marks=pytest.mark.long) for name in ("mkdir", "name", "killing")),
    ],
)
def test_own_seccomp_profile(same: Same, tmp_path: Path, name: str) -> None:
    file = tmp_path / "profile.json"
    file.write_text(PROFILES[name])
    script = "grep Seccomp: /proc/self/status; mkdir /tmp/a; mkdir -m 700 /tmp/b; rmdir /tmp/b; echo done"
    same("run", "--rm", "--security-opt", f"seccomp={file}", "busybox", "sh", "-c", script)


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        (
            _profile("SCMP_ACT_ALLOW", syscalls=[{"name": "a", "names": ["b"], "action": "SCMP_ACT_ALLOW"}]),
            True,
        ),
        (
            _profile(
                "SCMP_ACT_ALLOW",
                architectures=["SCMP_ARCH_X86"],
                archMap=[{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []}],
            ),
            True,
        ),
        ("nonsense", False),  # Go's words on JSON are its own
        (_profile("SCMP_ACT_ODD"), False),  # so are those of runc, twice wrapped
    ],
)
def test_wrong_seccomp_profile(both: tuple[Engine, Engine], text: str, exact: bool) -> None:
    told = []
    for engine in both:
        body = {"Image": "busybox", "HostConfig": {"SecurityOpt": [f"seccomp={text}"]}}
        made = engine.api("POST", "/v1.44/containers/create?name=box", body)
        started = engine.api("POST", "/v1.44/containers/box/start")
        told.append((made.status, started.status, started.message if exact else ""))
    assert told[0] == told[1]
