"""Volumes whose options say what to mount."""

from __future__ import annotations

import pytest

from tests.root.differential.conftest import Same
from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon

pytestmark = [pytest.mark.root, pytest.mark.peer]

TMPFS = ("--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=1m,mode=1770,uid=33")


def test_a_directory_of_the_host(both: tuple[Engine, Engine], same: Same) -> None:
    for engine in both:
        (engine.share / "files").mkdir(exist_ok=True)
        (engine.share / "files" / "there").write_text("hello")
        device = f"device={engine.share}/files"
        engine.ok("volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", device, "bound")
        engine.ok("volume", "create", "--opt", "type=none", "--opt", "o=bind,ro", "--opt", device, "shown")
    same("run", "--rm", "-v", "bound:/x", "busybox", "sh", "-c", "cat /x/there; echo new > /x/new")
    same("run", "--rm", "-v", "shown:/x", "busybox", "sh", "-c", "cat /x/new; touch /x/y")
    same(
        "run", "--rm", "--mount", "type=volume,src=bound,dst=/x,volume-subpath=there", "busybox", "cat", "/x"
    )


def test_a_file_system_that_keeps_its_files(both: tuple[Engine, Engine], same: Same) -> None:
    """As a disk or an nfs does; overlay is one that needs no device. A new one takes what the image has."""
    for engine in both:
        for name in ("lower", "upper", "work"):
            (engine.share / name).mkdir(exist_ok=True)
    words = ",".join(f"{name}dir=SHARE/{name}" for name in ("lower", "upper", "work"))
    same(
        "volume",
        "create",
        "--opt",
        "type=overlay",
        "--opt",
        "device=overlay",
        "--opt",
        f"o={words}",
        "layered",
    )
    same("create", "--name", "filled", "-v", "layered:/usr", "busybox")
    same("run", "-d", "--name", "one", "-v", "layered:/x", "busybox", "sleep", "1000")
    same("run", "--rm", "-v", "layered:/y", "busybox", "sh", "-c", "ls /y; echo hello > /y/new")
    same("exec", "one", "cat", "/x/new")
    same("rm", "-f", "one")
    same(
        "run", "--rm", "--mount", "type=volume,src=layered,dst=/z,volume-subpath=new", "busybox", "cat", "/z"
    )


def test_what_cannot_be_mounted(same: Same) -> None:
    options = ("--opt", "type=none", "--opt", "o=bind", "--opt", "device=/missing")
    same("volume", "create", *options, "lost")
    same("create", "-v", "lost:/etc", "busybox")
    same("run", "--rm", "-v", "lost:/x", "busybox", "true")


def test_an_unknown_file_system(daemon: Daemon) -> None:
    """In words of our own: init finds out, and not the daemon."""
    engine = daemon.engine
    engine.ok("volume", "create", "--opt", "type=nosuchfs", "--opt", "device=x", "odd")
    result = engine.docker("run", "--rm", "-v", "odd:/x", "busybox", "true")
    assert result.code == 125
    assert "cannot mount the volume's nosuchfs x on /x: No such device" in result.err
    assert engine.ok("ps", "-aq") == ""


def test_memory_is_shared_while_a_container_has_it(both: tuple[Engine, Engine], same: Same) -> None:
    same("volume", "create", *TMPFS, "memory")
    same("run", "-d", "--name", "one", "-v", "memory:/x", "busybox", "sleep", "1000")
    same("exec", "one", "sh", "-c", "echo hello > /x/file; stat -c '%a %u' /x; df /x | tail -1")
    same("run", "-d", "--name", "two", "-v", "memory:/y:ro", "busybox", "sleep", "1000")
    same("exec", "two", "cat", "/y/file")
    same("exec", "two", "touch", "/y/file")
    same("exec", "one", "touch", "/x/more")
    same("rm", "-f", "one")
    same("run", "--rm", "-v", "memory:/z", "busybox", "ls", "/z")
    same(
        "run", "--rm", "--mount", "type=volume,src=memory,dst=/z,volume-subpath=file", "busybox", "cat", "/z"
    )
    same("rm", "-f", "two")
    same("run", "--rm", "-v", "memory:/z", "busybox", "ls", "/z")


def test_memory_is_shared_across_a_kill_of_the_daemon(daemon: Daemon) -> None:
    engine = daemon.engine
    engine.ok("volume", "create", *TMPFS, "memory")
    engine.ok("run", "-d", "--name", "one", "-v", "memory:/x", "busybox", "sleep", "1000")
    engine.ok("exec", "one", "sh", "-c", "echo hello > /x/file")
    daemon.kill()
    daemon.start()
    assert engine.ok("run", "--rm", "-v", "memory:/y", "busybox", "cat", "/y/file") == "hello"
    mounts = daemon.engine.namespace.run(["cat", "/proc/self/mountinfo"]).stdout
    assert "volumes/memory" not in mounts


def test_two_that_start_together_share(daemon: Daemon) -> None:
    engine = daemon.engine
    engine.ok("volume", "create", *TMPFS, "memory")
    names = ("one", "two", "three")
    for name in names:
        engine.ok("create", "--name", name, "-v", "memory:/x", "busybox", "sleep", "1000")
    starts = [engine.start("start", name) for name in names]
    for start in starts:
        start.communicate(timeout=30)
    assert [start.returncode for start in starts] == [0, 0, 0]
    for name in names:
        engine.ok("exec", name, "touch", f"/x/{name}")
    assert engine.ok("exec", "one", "ls", "/x").split() == sorted(names)
