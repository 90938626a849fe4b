"""A container from the fork to its exit: isolation, identity, errors in Docker's words."""

from __future__ import annotations

import importlib.abc
import os
import sys
import time
import traceback
from pathlib import Path

import pytest

from hostagent.engine.isolation import seccomp
from hostagent.kernel import capabilities, libc
from hostagent.kernel import constants as c
from hostagent.runtime import spec as specs
from tests.root.runtime.bundle import DEFAULT_CAPABILITIES, Bundle, execute, mount, read_all, reap, talk

pytestmark = pytest.mark.root


def test_runs_and_gives_the_exit_code(bundle: Bundle) -> None:
    result = bundle.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (result.code, result.out, result.err, result.failed) == (7, "out\n", "err\n", None)


def test_every_namespace_is_its_own(bundle: Bundle) -> None:
    kinds = ("mnt", "pid", "uts", "ipc", "net", "cgroup")
    script = (
        "for n in "
        + " ".join(kinds)
        + "; do stat -L -c %i /proc/self/ns/$n; done; cat /proc/sys/kernel/hostname"
    )
    lines = bundle.run(["sh", "-c", script]).out.split()
    assert lines[-1] == "box"
    for kind, inode in zip(kinds, lines, strict=False):
        assert int(inode) != os.stat(f"/proc/self/ns/{kind}").st_ino, kind


def test_sees_only_itself(bundle: Bundle) -> None:
    result = bundle.run(
        ["sh", "-c", "echo $$; ls /proc | grep -c '^[0-9]'; ls /proc/self/fd; cat /proc/self/cgroup"]
    )
    first, *rest = result.out.split("\n")
    assert first == "1"
    assert rest[1:5] == ["0", "1", "2", "3"], "only stdio, and ls's own directory"
    assert all(line.endswith(":/") for line in rest[5:] if line), (
        "the cgroup namespace's root is the container's group"
    )


def test_layers_are_not_written(bundle: Bundle) -> None:
    assert bundle.run(["sh", "-c", "echo x > /etc/passwd; mkdir /new"]).code == 0
    assert "root" in (bundle.layer / "etc/passwd").read_text()
    assert (bundle.path / "upper/new").is_dir()


def test_many_layers_fit_into_one_option_page(bundle: Bundle) -> None:
    layers = []
    for number in range(100):
        layer = bundle.path / "some-quite-long-name-of-a-layer-directory" / f"{number:064d}"
        layer.mkdir(parents=True)
        (layer / f"file-{number}").write_text("x")
        layers.append(str(layer))
    document = bundle.document(["sh", "-c", "ls / | grep -c ^file-"])
    document["mounts"][0]["options"][0] = "lowerdir=" + ":".join([*layers, str(bundle.layer)])
    assert bundle.run(document).out == "100\n"


def test_no_mount_reaches_the_host(bundle: Bundle) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    with bundle.running(bundle.document(["sleep", "100"])) as container:
        assert talk(container) is None
        assert Path("/proc/self/mountinfo").read_text() == before


def test_masked_and_readonly_paths(bundle: Bundle) -> None:
    script = "wc -c < /proc/keys; ls /proc/acpi | wc -l; ls /sys/firmware; echo 1 > /proc/sys/kernel/sem || echo no"
    result = bundle.run(["sh", "-c", script])
    assert result.out.split() == ["0", "0", "no"]
    assert "Read-only" in result.err


def test_masking_null_cannot_be_changed(bundle: Bundle) -> None:
    before = os.stat("/dev/null").st_mode
    assert bundle.run(["chmod", "600", "/proc/keys"]).code != 0
    assert os.stat("/dev/null").st_mode == before


def test_readonly_root(bundle: Bundle) -> None:
    document = bundle.document(["sh", "-c", "touch /x; touch /dev/shm/y && echo shm"])
    document["root"]["readonly"] = True
    result = bundle.run(document)
    assert "Read-only" in result.err
    assert result.out == "shm\n"


def test_default_devices(bundle: Bundle) -> None:
    script = "cd /dev; for d in null zero full random urandom tty; do stat -c '%n %t:%T %a' $d; done; echo hi > fd/1"
    lines = bundle.run(["sh", "-c", script]).out.splitlines()
    assert lines == [  # busybox stat prints them in hex, which is the same here
        "null 1:3 666",
        "zero 1:5 666",
        "full 1:7 666",
        "random 1:8 666",
        "urandom 1:9 666",
        "tty 5:0 666",
        "hi",
    ]


def test_capabilities_and_no_new_privileges(bundle: Bundle) -> None:
    result = bundle.run(["grep", "-E", "Cap|NoNew", "/proc/self/status"], noNewPrivileges=True)
    found = dict(line.split(":\t") for line in result.out.splitlines())
    assert {found[f"Cap{kind}"] for kind in ("Prm", "Eff", "Bnd")} == {
        f"{capabilities.mask(DEFAULT_CAPABILITIES):016x}"
    }
    assert (found["CapInh"], found["CapAmb"], found["NoNewPrivs"]) == ("0" * 16, "0" * 16, "1")


def test_another_user_has_no_capabilities(bundle: Bundle) -> None:
    caps = {"bounding": ["CAP_CHOWN"], "effective": [], "permitted": []}
    result = bundle.run(
        ["grep", "CapEff", "/proc/self/status"], user={"uid": 1000, "gid": 7}, capabilities=caps
    )
    assert result.out == "CapEff:\t0000000000000000\n"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({"uid": 5, "gid": 6, "additionalGids": [8, 9]}, "uid=5 gid=6 groups=8,9"),
        ({"username": "ann"}, "uid=1001(ann) gid=1002(ann) groups=10(wheel)"),
        ({"username": "1001"}, "uid=1001(ann) gid=1002(ann) groups=10(wheel)"),
        ({"username": "ann:wheel"}, "uid=1001(ann) gid=10(wheel)"),
        ({"username": "4242"}, "uid=4242 gid=0(root)"),
    ],
)
def test_user(bundle: Bundle, user: dict[str, object], expected: str) -> None:
    caps: dict[str, list[str]] = {"bounding": [], "effective": [], "permitted": []}
    out = bundle.run(["id"], user=user, capabilities=caps).out
    assert out.replace(" groups=10(wheel)\n", "\n").startswith(expected.replace(" groups=10(wheel)", ""))


def test_home_is_the_users(bundle: Bundle) -> None:
    assert bundle.run(["sh", "-c", "echo $HOME"], user={"username": "ann"}).out == "/home/ann\n"
    assert bundle.run(["sh", "-c", "echo $HOME"], env=["PATH=/bin", "HOME=/h"]).out == "/h\n"


@pytest.mark.parametrize(
    ("process", "errno", "text"),
    [
        ({"args": ["nosuch"]}, 2, 'exec: "nosuch": executable file not found in $PATH'),
        ({"args": ["/x"]}, 2, 'exec: "/x": stat /x: no such file or directory'),
        ({"args": ["/etc"]}, 21, 'exec: "/etc": is a directory'),
        ({"args": ["/etc/passwd"]}, 13, 'exec: "/etc/passwd": permission denied'),
        (
            {"args": ["true"], "cwd": "/etc/passwd"},
            20,
            'chdir to cwd ("/etc/passwd") set in config.json failed: not a directory',
        ),
        (
            {"args": ["true"], "user": {"username": "bob"}},
            0,
            "unable to find user bob: no matching entries in passwd file",
        ),
    ],
)
def test_what_cannot_start(bundle: Bundle, process: dict[str, object], errno: int, text: str) -> None:
    document = bundle.document(["true"])
    document["process"].update(process)
    failed = bundle.run(document).failed
    assert failed is not None
    assert (failed.errno, failed.message) == (errno, text)


def test_a_missing_working_directory_is_made(bundle: Bundle) -> None:
    """As runc and Docker do."""
    document = bundle.document(["sh", "-c", "pwd"])
    document["process"]["cwd"] = "/new/place"
    result = bundle.run(document)
    assert (result.failed, result.out) == (None, "/new/place\n")


def test_a_file_that_is_no_program(bundle: Bundle) -> None:
    script = bundle.layer / "bin/broken"
    script.write_bytes(b"\x7fELFnot really")
    script.chmod(0o755)
    failed = bundle.run(["broken"]).failed
    assert failed is not None
    assert failed.message == "exec /bin/broken: exec format error"


def test_seccomp_profile(bundle: Bundle, tmp_path: Path) -> None:
    compiled = tmp_path / "profile.bpf"
    compiled.write_bytes(seccomp.profile_for([], os.uname().machine, os.uname().release))
    document = bundle.document(["sh", "-c", "grep Seccomp: /proc/self/status; mount -t tmpfs x /tmp; id -u"])
    document["annotations"] = {specs.SECCOMP_ANNOTATION: str(compiled)}
    for caps in document["process"]["capabilities"].values():
        caps.append("CAP_SYS_ADMIN")
    result = bundle.run(document)
    assert result.out == "Seccomp:\t2\n0\n"
    assert "permission denied" in result.err, "CAP_SYS_ADMIN alone does not pass the filter"


def test_rlimits_and_oom_score_are_clamped_not_fatal(bundle: Bundle) -> None:
    rlimits = [
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
        {"type": "RLIMIT_NPROC", "soft": 2**64 - 1, "hard": 2**64 - 1},
    ]
    result = bundle.run(["sh", "-c", "ulimit -n; ulimit -Hn"], rlimits=rlimits, oomScoreAdj=-900)
    assert result.out == "100\n200\n"
    powerful = libc.capget()[0] >> capabilities.CAP_SYS_RESOURCE & 1
    assert powerful or any("oom_score_adj -900 left at" in warning for warning in result.warnings)


def test_sysctls_of_own_namespaces_only(bundle: Bundle) -> None:
    document = bundle.document(
        ["cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/kernel/msgmax"]
    )
    document["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "0", "kernel.msgmax": "5000"}
    assert bundle.run(document).out == "0\n5000\n"
    document["linux"]["sysctl"] = {"kernel.panic": "1"}
    with pytest.raises(Exception, match="not in a separate kernel namespace"):
        bundle.run(document)


def test_bind_mounts(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "dir/sub").mkdir(parents=True)
    (tmp_path / "file").write_text("content")
    document = bundle.document(
        [
            "sh",
            "-c",
            "cat /data/new/file; touch /rw/made; touch /ro/x || echo refused; grep -c ' /ro ' /proc/mounts",
        ]
    )
    document["mounts"] += [
        mount("/data/new/file", "bind", "rbind", "ro", source=str(tmp_path / "file")),
        mount("/rw", "bind", "rbind", "rprivate", source=str(tmp_path / "dir")),
        mount("/ro", "bind", "rbind", "rro", source=str(tmp_path / "dir")),
    ]
    assert bundle.run(document).out == "contentrefused\n1\n"
    assert (tmp_path / "dir/made").exists()


def test_mount_points_stay_inside_the_root(bundle: Bundle, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (bundle.layer / "evil").symlink_to(outside)
    (bundle.layer / "up").symlink_to("../../../../../../../../.." + str(outside))
    document = bundle.document(["ls", "/"])
    document["mounts"] += [mount("/evil/x", "tmpfs"), mount("/up/y", "tmpfs")]
    assert bundle.run(document).failed is None
    assert list(outside.iterdir()) == []


def test_proc_behind_a_symlink_is_refused(bundle: Bundle) -> None:
    (bundle.layer / "proc").symlink_to("tmp")
    failed = bundle.run(["true"]).failed
    assert failed is not None
    assert failed.message == "cannot mount proc on /proc: Too many levels of symbolic links"


def test_terminal(bundle: Bundle) -> None:
    document = bundle.document(
        ["sh", "-c", "tty; stty size; echo x > /dev/console; echo y > /dev/tty"], terminal=True
    )
    with bundle.running(document) as container:
        assert talk(container) is None
        out = read_all(container.master)
        assert reap(container) == 0
    assert out.split() == ["/dev/pts/0", "24", "80", "x", "y"]


def test_init_reaps_and_passes_signals_on(bundle: Bundle) -> None:
    script = "trap 'echo caught; exit 9' TERM; (sleep 0 &); echo ready; while :; do sleep 0.05; done"
    document = bundle.document(["sh", "-c", script])
    document["annotations"] = {specs.INIT_ANNOTATION: "true"}
    with bundle.running(document) as container:
        assert talk(container) is None
        assert os.read(container.streams["stdout"], 100) == b"ready\n"
        listing = execute(container, ["ps"]).out
        assert "sh -c trap" in listing.splitlines()[2]
        os.kill(container.child.pid, 15)
        assert read_all(container.streams["stdout"]) == "caught\n"
        assert reap(container) == 9


def test_a_signal_ends_the_program_like_any_other(bundle: Bundle) -> None:
    document = bundle.document(["sleep", "100"])
    document["annotations"] = {specs.INIT_ANNOTATION: "true"}
    with bundle.running(document) as container:
        assert talk(container) is None
        while "sleep" not in execute(container, ["ps"]).out.splitlines()[2]:
            time.sleep(0.01)
        os.kill(container.child.pid, 15)
        assert reap(container) == 143


def test_ignored_signals_are_not_inherited(bundle: Bundle) -> None:
    out = bundle.run(["grep", "-E", "SigIgn|SigBlk", "/proc/self/status"]).out
    assert out == "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"


def test_the_parent_forks_outside_again(bundle: Bundle) -> None:
    assert bundle.run(["true"]).code == 0
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, str(os.getpid()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert int(os.read(reader, 20)) == pid
    os.close(reader)
    os.close(writer)


def test_nothing_is_imported_after_the_fork(bundle: Bundle) -> None:
    """A shim runs its code for life, also after an upgrade has replaced the files (design.md, rule 12)."""

    class Guard(importlib.abc.MetaPathFinder):
        def find_spec(self, name: str, path: object, target: object = None) -> None:
            raise AssertionError(f"imported after the fork: {name}")

    document = bundle.document(
        ["sleep", "100"], user={"username": "ann"}, rlimits=[{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]
    )
    guard = Guard()
    sys.meta_path.insert(0, guard)
    try:
        with bundle.running(document) as container:
            assert talk(container) is None
            assert execute(container, ["tty"], terminal=True).failed is None
            assert execute(container, ["nosuch"]).failed is not None
        assert bundle.run(["/nosuch"]).failed is not None
    finally:
        sys.meta_path.remove(guard)


def test_session_keyring_is_new(bundle: Bundle) -> None:
    """Read from /proc/keys, which is not masked here: only the container's own ring is possessed."""
    document = bundle.document(["sh", "-c", "cat /proc/keys | grep -c _ses"])
    document["linux"]["maskedPaths"] = []
    assert int(bundle.run(document).out) >= 1


def test_terminal_with_init(bundle: Bundle) -> None:
    """The program is the terminal's foreground group, not its supervisor: ^C reaches it."""
    document = bundle.document(
        ["sh", "-c", "trap 'echo int; exit 3' INT; echo ready; while :; do sleep 0.05; done"]
    )
    document["process"]["terminal"] = True
    document["annotations"] = {specs.INIT_ANNOTATION: "true"}
    with bundle.running(document) as container:
        assert talk(container) is None
        assert os.read(container.master, 100) == b"ready\r\n"
        os.write(container.master, b"\x03")
        assert reap(container) == 3
        assert read_all(container.master).endswith("int\r\n")


def test_shared_propagation_reaches_the_parent_namespace(bundle: Bundle, tmp_path: Path) -> None:
    """`-v x:/y:rshared`: a mount made inside shows on the host, here a mount namespace that stands for it."""
    volume = tmp_path / "volume"
    volume.mkdir()
    pid = os.fork()
    if pid == 0:
        try:
            libc.unshare(c.CLONE_NEWNS)
            libc.mount(None, "/", None, c.MS_SLAVE | c.MS_REC)
            libc.mount("tmpfs", str(volume), "tmpfs", 0)
            libc.mount(None, str(volume), None, c.MS_SHARED)
            (volume / "inner").mkdir()
            document = bundle.document(["sh", "-c", "mount -t tmpfs x /v/inner && touch /v/inner/made"])
            document["process"]["capabilities"] = None
            document["mounts"].append(mount("/v", "bind", "rbind", "rshared", source=str(volume)))
            result = bundle.run(document)
            assert (result.code, result.failed) == (0, None), result
            assert (volume / "inner/made").exists()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


def test_masks_are_the_containers_own_null(bundle: Bundle) -> None:
    document = bundle.document(["sh", "-c", "grep -c devtmpfs /proc/self/mountinfo; cat /proc/timer_list"])
    document["linux"]["maskedPaths"] = ["/proc/timer_list"]
    assert bundle.run(document).out == "0\n"
