"""Control groups on the hierarchies that this machine has, whichever they are."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hostagent.kernel import cgroup_devices, process
from hostagent.kernel.cgroup import Cgroup, Fork
from hostagent.kernel.cgroup_limits import RefusedLimit
from hostagent.kernel.cgroup_mounts import hierarchies
from hostagent.kernel.resources import DeviceRule, HugepageLimit, Resources
from tests.leaks import TAG
from tests.root.runtime.bundle import Bundle, execute, mount, talk

pytestmark = pytest.mark.root

MIB = 1 << 20


@pytest.fixture
def group() -> Iterator[Cgroup]:
    group = Cgroup(f"/{TAG}-group/inner")
    yield group
    Cgroup(f"/{TAG}-group").kill()
    Cgroup(f"/{TAG}-group").delete()


def sleeper(group: Cgroup) -> int:
    """A child in the group; everything it forks is in there too."""
    forked = group.fork()
    if forked.pid == 0:
        try:
            group.add(0, forked.rest)
            os.fork()
            time.sleep(100)
        finally:
            os._exit(1)
    os.close(forked.pidfd)
    deadline = time.monotonic() + 5
    while len(group.pids()) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    return forked.pid


def test_the_end_of_a_group(group: Cgroup) -> None:
    """Empty, with processes inside, and gone."""
    group.create()
    group.end()
    assert not group.exists()
    group.create()
    pid = sleeper(group)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # a zombie would stay in its group
    try:
        group.end()
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    assert not group.exists()
    assert not os.path.exists(f"/proc/{pid}")
    group.end()


@pytest.mark.parametrize("into_group", [False, True])
def test_a_sibling_is_the_parents_child(group: Cgroup, into_group: bool) -> None:
    """Forked by a process between, reaped by us."""
    group.create()
    reader, writer = os.pipe()
    between = os.fork()
    if between == 0:
        forked = group.fork(sibling=True) if into_group else Fork(*process.fork_sibling())
        if forked.pid == 0:
            os._exit(7)
        os.write(writer, str(forked.pid).encode())
        os._exit(0)
    os.close(writer)
    pid = int(os.read(reader, 16))
    os.close(reader)
    assert os.waitpid(between, 0)[1] == 0
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def test_a_child_is_in_all_hierarchies_and_is_killed_with_its_own(group: Cgroup) -> None:
    group.create()
    pid = sleeper(group)
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    assert sum(line.endswith(group.path) for line in lines) == len(hierarchies())
    assert pid in group.pids()
    assert len(group.pids()) == 2
    group.kill()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    group.delete()
    assert not group.exists()


def test_kill_without_the_v2_file(group: Cgroup) -> None:
    """As on a host with v1 alone."""
    legacy = Cgroup(group.path, tuple(tree for tree in hierarchies() if not tree.unified))
    if not legacy.trees:
        pytest.skip("this machine has cgroup v2 alone")
    legacy.create()
    pid = sleeper(legacy)
    legacy.kill()
    os.waitpid(pid, 0)
    legacy.delete()


@pytest.mark.parametrize("unified", [True, False])
def test_freeze(group: Cgroup, unified: bool) -> None:
    """A frozen counter stands still; one that was thawed goes on. By cgroup.freeze and by v1's freezer."""
    group = Cgroup(group.path, tuple(tree for tree in hierarchies() if tree.unified == unified))
    if not group.trees:
        pytest.skip(f"this machine has no cgroup {'v2' if unified else 'v1'}")
    group.create()
    assert not group.frozen()
    reader, writer = os.pipe2(os.O_NONBLOCK)
    forked = group.fork()
    if forked.pid == 0:
        group.add(0, forked.rest)
        while True:
            os.write(writer, b".")
            time.sleep(0.002)
    os.close(forked.pidfd)
    while not group.pids():
        time.sleep(0.005)

    def ticks() -> bool:
        time.sleep(0.05)
        try:
            os.read(reader, 1 << 16)
        except BlockingIOError:
            return False
        return True

    assert ticks()
    assert group.freeze()
    assert group.frozen()
    while not group.stands_still():
        time.sleep(0.005)
    ticks()
    assert not ticks()
    assert group.thaw()
    assert not group.frozen()
    assert ticks()
    group.kill()
    os.waitpid(forked.pid, 0)
    os.close(reader)
    os.close(writer)


def test_limits_reach_the_kernel_or_are_warned_about(bundle: Bundle) -> None:
    document = bundle.document(["sh", "-c", "for n in 1 2 3 4 5 6 7 8; do sleep 5 & done; wait"])
    document["linux"]["resources"] = {
        "memory": {"limit": 64 * MIB, "swap": 64 * MIB},
        "pids": {"limit": 5},
        "cpu": {"quota": 50_000, "period": 100_000, "shares": 512},
    }
    with bundle.running(document) as container:
        assert talk(container) is None
        message = b""
        while b"\n" not in message:
            message += os.read(container.streams["stderr"], 1000)
        assert b"fork" in message
        assert not [w for w in container.child.warnings if w.startswith(("pids", "cpu."))]


def test_memory_limit_kills_and_is_counted(bundle: Bundle) -> None:
    document = bundle.document(
        ["sh", "-c", "head -c 100m /dev/zero | tail -c 100m > /dev/null; echo $?; exit 3"]
    )
    (bundle.layer / "bin/tail").symlink_to("busybox")
    document["linux"]["resources"] = {"memory": {"limit": 16 * MIB, "swap": 16 * MIB}}
    with bundle.running(document) as container:
        assert talk(container) is None
        os.waitpid(container.child.pid, 0)
        assert os.read(container.streams["stdout"], 100) == b"137\n"
        assert Cgroup(container.spec.cgroups_path).oom_kills() == 1


DEVICES = [
    {"allow": False, "access": "rwm"},
    {"allow": True, "type": "c", "access": "m"},
    {"allow": True, "type": "b", "access": "m"},
    {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
]


def test_device_nodes_can_be_made_but_not_opened(bundle: Bundle) -> None:
    """What keeps a container with CAP_MKNOD from the host's disks."""
    script = "mknod /d b 7 0 && cat /d; mknod /z c 1 5 && head -c 1 /z; echo hi > /dev/null && echo null"
    document = bundle.document(["sh", "-c", script])
    document["linux"]["resources"] = {"devices": DEVICES}
    result = bundle.run(document)
    assert result.out == "null\n"
    assert result.err.count("Operation not permitted") == 2
    assert result.warnings == ()


def test_device_program_of_v2(group: Cgroup) -> None:
    unified = tuple(tree for tree in hierarchies() if tree.unified)
    if not unified:
        pytest.skip("this machine has no cgroup v2 mount")
    group = Cgroup(group.path, unified)
    group.create()
    rules = [
        DeviceRule(allow=False),
        DeviceRule(True, "c", None, None, "m"),
        DeviceRule(True, "c", 1, 3, "rwm"),
        DeviceRule(True, "c", 1, 5, "r"),
    ]
    cgroup_devices.attach(group.directory(unified[0]), rules)

    def may(path: str, flags: int) -> bool:
        forked = group.fork()
        if forked.pid == 0:
            try:
                os.open(path, flags)
            except PermissionError:
                os._exit(1)
            os._exit(0)
        os.close(forked.pidfd)
        return os.waitpid(forked.pid, 0)[1] == 0

    assert may("/dev/null", os.O_RDWR)
    assert may("/dev/zero", os.O_RDONLY)
    assert not may("/dev/zero", os.O_WRONLY)
    assert not may("/dev/full", os.O_RDONLY)
    assert may("/etc/passwd", os.O_RDONLY)


def test_exec_follows_init_when_the_group_is_split(bundle: Bundle) -> None:
    """As systemd does it in its own container: processes in child groups only."""
    with bundle.running(bundle.document(["sleep", "100"])) as container:
        assert talk(container) is None
        group = Cgroup(container.spec.cgroups_path)
        inner = Cgroup(f"{group.path}/init.scope")
        inner.create()
        inner.add(container.child.pid)
        pid = os.fork()
        if pid == 0:
            try:
                group.join_like(container.child.pid)
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        assert execute(container, ["true"]).code == 0


def test_resources_of_v2_on_v2(group: Cgroup) -> None:
    """Where no controller is there (hybrid), each limit is a warning and nothing fails."""
    unified = Cgroup(group.path, tuple(tree for tree in hierarchies() if tree.unified))
    if not unified.trees:
        pytest.skip("this machine has no cgroup v2 mount")
    warnings = unified.create(Resources(memory_limit=MIB, pids_limit=5))
    directory = unified.directory(unified.trees[0])
    controllers = Path(directory, "cgroup.controllers").read_text().split()
    if "memory" in controllers:
        assert Path(directory, "memory.max").read_text() == f"{MIB}\n"
    else:
        assert "memory.max not set: this host has no memory controller" in warnings


def test_huge_pages_and_files_of_v2_by_name(group: Cgroup) -> None:
    """A controller that only those get who limit it."""
    unified = Cgroup(group.path, tuple(tree for tree in hierarchies() if tree.unified))
    root = unified.trees[0].mountpoint if unified.trees else ""
    if not root or "hugetlb" not in controllers_of(root):
        pytest.skip("this machine has no hugetlb controller of cgroup v2")
    before = Path(root, "cgroup.subtree_control").read_text().split()
    directory = unified.directory(unified.trees[0])
    unified.create()
    assert "hugetlb" not in controllers_of(directory)
    unified.delete()
    try:
        limits = Resources(
            hugepages=(HugepageLimit("2MB", 4 * MIB),), unified=(("hugetlb.2MB.rsvd.max", str(2 * MIB)),)
        )
        assert unified.create(limits) == []
        assert Path(directory, "hugetlb.2MB.max").read_text() == f"{4 * MIB}\n"
        assert Path(directory, "hugetlb.2MB.rsvd.max").read_text() == f"{2 * MIB}\n"
        with pytest.raises(RefusedLimit, match=r"hugetlb\.2MB\.max: invalid argument"):
            unified.change(
                Resources(unified=(("hugetlb.2MB.rsvd.max", str(8 * MIB)), ("hugetlb.2MB.max", "plenty")))
            )
        assert Path(directory, "hugetlb.2MB.rsvd.max").read_text() == f"{2 * MIB}\n", "taken back"
        assert unified.set(Resources(unified=(("rdma.max", "x"),))) == [
            "rdma.max not set: this host has no rdma controller of cgroup v2"
        ]
    finally:
        unified.delete()
        Cgroup(f"/{TAG}-group", unified.trees).delete()
        if "hugetlb" not in before:
            with suppress(OSError):  # somebody else on this machine uses it by now
                Path(root, "cgroup.subtree_control").write_text("-hugetlb")


def controllers_of(directory: str) -> list[str]:
    return Path(directory, "cgroup.controllers").read_text().split()


def test_busy_group_is_told(group: Cgroup) -> None:
    group.create()
    pid = sleeper(group)
    try:
        with pytest.raises(OSError) as caught:
            group.delete(seconds=0.05)
        assert caught.value.errno == errno.EBUSY
    finally:
        group.kill()
        os.waitpid(pid, 0)


def test_cgroup_mount_of_a_plain_oci_bundle(bundle: Bundle) -> None:
    """Type "cgroup" and nothing else, as `runc spec` writes it: each hierarchy shows the container's own group."""
    document = bundle.document(
        ["sh", "-c", "cd /sys/fs/cgroup; for f in $(find . -name cgroup.procs); do echo $f; cat $f; done"]
    )
    (bundle.layer / "bin/find").symlink_to("busybox")
    document["mounts"].append(mount("/sys/fs/cgroup", "cgroup", "ro", "nosuid", "noexec", "nodev"))
    result = bundle.run(document)
    assert result.failed is None
    lines = result.out.split()
    assert lines.count("1") == len(hierarchies()), "PID 1 is in the root of each"
