"""User and time namespaces of a container: who owns what inside and on disk, and what an exec gets."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from tests.root.runtime.bundle import Bundle, Json, execute, mount, read_all, reap, talk

pytestmark = pytest.mark.root

BASE = 100_000
MAPPING = [{"containerID": 0, "hostID": BASE, "size": 65_536}]


def _mapped(bundle: Bundle, *args: str, **process: object) -> Json:
    document = bundle.document(args, **process)
    document["linux"]["namespaces"].append({"type": "user"})
    document["linux"] |= {"uidMappings": MAPPING, "gidMappings": MAPPING}
    return document


def test_files_have_the_owners_that_they_have_without(bundle: Bundle, tmp_path: Path) -> None:
    os.chown(bundle.layer / "etc/group", 1001, 1002)
    given = tmp_path / "given"
    given.write_text("host's\n")
    script = """stat -c '%n %u:%g' / /etc/passwd /etc/group /dev/null /dev/shm /given
        cat /given /proc/self/uid_map; echo new > /etc/new; echo more >> /etc/passwd; chown 5:6 /etc/new
        mknod /tmp/disk b 7 0 || echo no devices; mkdir /tmp/d && mount -t tmpfs x /tmp/d || echo no mounts"""
    document = _mapped(bundle, "sh", "-c", script)
    document["mounts"].append(mount("/given", "bind", "rbind", "ro", source=str(given)))
    done = bundle.run(document)
    assert done.failed is None
    lines = done.out.splitlines()
    assert lines[:5] == [
        "/ 0:0", "/etc/passwd 0:0", "/etc/group 1001:1002", "/dev/null 65534:65534", "/dev/shm 0:0"
    ]  # fmt: skip
    # What is bound is not shifted, as with dockerd: the host's root is nobody inside.
    assert lines[5:7] == ["/given 65534:65534", "host's"]
    assert lines[7].split() == ["0", str(BASE), "65536"]
    assert lines[8:] == ["no devices", "no mounts"]
    # On disk nothing is shifted either, so that images and copies are the same with and without.
    for name, owner in (("new", (5, 6)), ("passwd", (0, 0))):
        info = os.stat(bundle.path / "upper/etc" / name)
        assert (info.st_uid, info.st_gid) == owner


def test_the_host_sees_other_users(bundle: Bundle) -> None:
    document = _mapped(bundle, "sleep", "100", user={"username": "ann"})
    with bundle.running(document) as container:
        assert talk(container) is None
        status = Path(f"/proc/{container.child.pid}/status").read_text()
        assert f"Uid:\t{BASE + 1001}\t" in status
        for kind in ("user", "mnt", "pid", "net", "uts", "ipc"):
            ours, theirs = os.stat(f"/proc/self/ns/{kind}"), os.stat(f"/proc/{container.child.pid}/ns/{kind}")
            assert ours.st_ino != theirs.st_ino, kind
        shown = execute(container, ["sh", "-c", "id -u; echo $$ > /dev/stdout; readlink /proc/self/ns/user"])
        assert shown.failed is None
        assert shown.out.splitlines()[0] == "0"
        assert shown.out.splitlines()[2] == os.readlink(f"/proc/{container.child.pid}/ns/user")
        assert execute(
            container, ["sh", "-c", "id -un; tty"], terminal=True, user={"username": "ann"}
        ).out == ("ann\r\n/dev/pts/0\r\n")


def test_its_root_is_a_root_of_what_is_its_own(bundle: Bundle) -> None:
    caps = [f"CAP_{name}" for name in ("SYS_ADMIN", "NET_ADMIN", "CHOWN", "SETUID", "SETGID")]
    document = _mapped(
        bundle,
        "sh",
        "-c",
        "mount -t tmpfs x /tmp && echo mounted; cat /proc/sys/net/ipv4/ip_forward; echo x > /proc/sysrq-trigger",
        capabilities=dict.fromkeys(("bounding", "effective", "permitted"), caps),
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}],
    )
    document["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
    done = bundle.run(document)
    assert done.failed is None
    assert done.out.splitlines() == ["mounted", "1"]
    assert done.err  # the host's keys stay out of reach


def test_a_failure_is_told(bundle: Bundle) -> None:
    done = bundle.run(_mapped(bundle, "nosuch"))
    assert done.failed is not None
    assert "executable file not found" in done.failed.message
    document = _mapped(bundle, "true")
    document["mounts"].append(mount("/x", "bind", "rbind", source=f"{bundle.path}/nosuch"))
    with (
        pytest.raises(Exception, match=r"cannot bind .*/nosuch to /x: No such file or directory"),
        bundle.running(document),
    ):
        pass


def test_signals_and_exit_codes(bundle: Bundle) -> None:
    with bundle.running(_mapped(bundle, "sh", "-c", "echo hello; exit 7")) as container:
        assert talk(container) is None
        assert read_all(container.streams["stdout"]) == "hello\n"
        assert reap(container) == 7


def test_a_clock_of_its_own(bundle: Bundle) -> None:
    document = bundle.document(["sleep", "100"])
    document["linux"]["namespaces"].append({"type": "time"})
    document["linux"]["timeOffsets"] = {
        "boottime": {"secs": 1_000_000, "nanosecs": 5},
        "monotonic": {"secs": 3},
    }
    with bundle.running(document) as container:
        assert talk(container) is None
        offsets = Path(f"/proc/{container.child.pid}/timens_offsets").read_text().split()
        assert offsets == ["monotonic", "3", "0", "boottime", "1000000", "5"]
        up = float(execute(container, ["cat", "/proc/uptime"]).out.split()[0])
        assert up > 1_000_000
    assert float(Path("/proc/uptime").read_text().split()[0]) < up - 900_000


def test_orphans_of_others_stay_theirs(bundle: Bundle) -> None:
    """Who made a container is the reaper of nothing afterwards: it would keep each orphan as a zombie, and the first
    process of a PID namespace with such a zombie never ends."""
    assert bundle.run(_mapped(bundle, "true")).failed is None
    reaper = ctypes.c_int()
    ctypes.CDLL(None).prctl(37, ctypes.byref(reaper), 0, 0, 0)  # PR_GET_CHILD_SUBREAPER
    assert reaper.value == 0
