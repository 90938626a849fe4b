"""A daemon with userns-remap: containers' root is an ordinary user of the host's."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.root.differential.test_copy import call
from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon, hostagent

pytestmark = pytest.mark.root

BASE = 200_000
SUBORDINATE = {"/etc/subuid": f"nobody:{BASE}:65536\n", "/etc/subgid": f"nogroup:{BASE}:65536\n"}


@pytest.fixture(scope="module")
def remapped(docker_cli: Path, busybox_tar: Path) -> Iterator[Daemon]:
    with hostagent(docker_cli, "--userns-remap", "nobody:nogroup", files=SUBORDINATE) as daemon:
        daemon.engine.ok("load", "-i", str(busybox_tar))
        yield daemon


@pytest.fixture
def engine(remapped: Daemon) -> Iterator[Engine]:
    yield remapped.engine
    remapped.engine.clean()
    left = remapped.residue()
    assert not left, "left on the host by the engine:\n  " + "\n  ".join(left)


def test_root_inside_is_nobody_outside(engine: Engine, remapped: Daemon) -> None:
    engine.ok("run", "-d", "--name", "box", "-p", "18080:80", "busybox", "httpd", "-f", "-h", "/etc")
    pid = engine.inspect("box", "{{.State.Pid}}")
    owner = engine.namespace.run(["stat", "-c", "%u", f"/proc/{pid}/root/etc"]).stdout.strip()
    assert owner == str(BASE)
    script = "id -u; cat /proc/self/uid_map; stat -c %u /etc/hosts /etc/passwd; echo x >> /etc/hosts; echo y > /new"
    shown = engine.ok("exec", "box", "sh", "-c", script).split()
    assert shown == ["0", "0", str(BASE), "65536", "0", "0"]
    assert (
        "root:"
        in engine.namespace.run(["busybox", "wget", "-q", "-O-", "http://127.0.0.1:18080/passwd"]).stdout
    )
    assert engine.ok("exec", "-t", "box", "tty") == "/dev/pts/0"
    engine.ok("restart", "-t", "0", "box")
    assert engine.ok("exec", "box", "cat", "/new") == "y"
    assert "name=userns" in engine.ok("info", "-f", "{{.SecurityOptions}}")


def test_output_and_exit_code(engine: Engine) -> None:
    script = "echo out > /dev/stdout; echo err > /dev/stderr; exit 3"
    done = engine.docker("run", "--rm", "-u", "www", "busybox", "sh", "-c", script)
    assert (done.code, done.out, done.err) == (3, "out\n", "err\n")
    assert engine.docker("run", "--rm", "busybox", "nosuch").code == 127
    assert engine.docker("run", "-i", "--rm", "busybox", "cat", stdin="hello\n").out == "hello\n"
    assert engine.ok("run", "--rm", "--init", "busybox", "sh", "-c", "cat /proc/1/comm") == "init"


def test_a_container_of_the_host_s_users(engine: Engine) -> None:
    shown = engine.ok(
        "run", "--rm", "--userns", "host", "--privileged", "busybox", "cat", "/proc/self/uid_map"
    )
    assert shown.split() == ["0", "0", str(2**32 - 1)]


def test_volumes_belong_to_root_inside(engine: Engine) -> None:
    script = "stat -c '%u %a' /etc /etc/passwd /home; echo x >> /etc/passwd; echo y > /home/file"
    options = ("-v", "filled:/etc", "-v", "empty:/home")
    shown = engine.ok("run", "--rm", *options, "busybox", "sh", "-c", script)
    assert shown.splitlines() == ["0 755", "0 644", "0 755"]
    place = engine.ok("volume", "inspect", "-f", "{{.Mountpoint}}", "filled")
    assert Path(place, "passwd").stat().st_uid == BASE


def test_the_file_system_of_a_volume_is_shared(engine: Engine) -> None:
    memory = ("--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", f"o=uid={BASE}")
    engine.ok("volume", "create", *memory, "memory")
    engine.ok("run", "-d", "--name", "one", "-v", "memory:/x", "busybox", "sleep", "1000")
    engine.ok("exec", "one", "sh", "-c", "echo hello > /x/file")
    assert engine.ok("run", "--rm", "-v", "memory:/y", "busybox", "cat", "/y/file") == "hello"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--privileged"], "privileged mode is incompatible with user namespaces"),
        (["--network", "host"], "cannot share the host's network namespace when user namespaces are enabled"),
        (["--pid", "host"], "cannot share the host PID namespace when user namespaces are enabled"),
    ],
)
def test_what_it_rules_out(engine: Engine, options: list[str], text: str) -> None:
    done = engine.docker("run", "--rm", *options, "busybox", "true")
    assert (done.code, text in done.err) == (125, True)


def test_sharing_with_another_container(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "donor", "--ipc", "shareable", "busybox", "sleep", "60")
    script = "readlink /proc/self/ns/user; echo seen > /dev/shm/file; ls -l /dev/shm; ps | grep -c sleep"
    shared = ("--network", "container:donor", "--ipc", "container:donor", "--pid", "container:donor")
    user, *_ = engine.ok("run", "--rm", *shared, "busybox", "sh", "-c", script).splitlines()
    assert user == engine.ok("exec", "donor", "readlink", "/proc/self/ns/user")
    assert engine.ok("exec", "donor", "cat", "/dev/shm/file") == "seen"


def test_copies_have_the_owners_of_inside(engine: Engine) -> None:
    (engine.share / "new").write_text("new\n")
    engine.ok(
        "run", "-d", "--name", "box", "busybox", "sh", "-c", "echo own > /own; chown 33 /own; sleep 600"
    )
    engine.wait_for("box", "{{.State.Running}}", "true")
    for name in ("running", "stopped"):
        if name == "stopped":
            engine.ok("stop", "-t", "0", "box")
        engine.ok("cp", "-a", str(engine.share / "new"), f"box:/{name}")
        assert _owner(engine, "box", "/own") == 33
        assert _owner(engine, "box", f"/{name}") == 0
    engine.ok("start", "box")
    assert engine.ok("exec", "box", "stat", "-c", "%u %g", "/running", "/stopped").split() == ["0"] * 4
    assert "A /running" in engine.ok("diff", "box").splitlines()


def _owner(engine: Engine, name: str, path: str) -> int:
    answer = call(engine, "GET", f"containers/{name}/archive?path={path}")
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
        return next(iter(tar)).uid
