"""Machines from end to end: the command, SSH, the engine on the host, stock docker clients against it."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.machine import PYMACHINE, Laptop, laptop
from tests.e2e.terminal import Terminal
from tests.servers.registry import Registry

READY_SECONDS = 15


@pytest.fixture(scope="module")
def mine() -> Iterator[Laptop]:
    """A laptop with one machine, dev1, that holds busybox."""
    with laptop() as made:
        made.ok("create", "local", "dev1")
        yield made


@pytest.fixture(scope="module")
def dev1(mine: Laptop, busybox_tar: Path) -> Laptop:
    mine.ok("load", "-i", str(busybox_tar))
    return mine


def test_listing(mine: Laptop) -> None:
    said = mine.ok("ls")
    assert "dev1" in said
    assert "local" in said
    assert "running" in said
    assert mine.ok("ip", "dev1").startswith("10.")
    assert "10." in mine.ok("inspect", "dev1")


def test_ssh(mine: Laptop) -> None:
    assert mine.ok("ssh", "dev1", "hostname") == "dev1"
    assert mine.pymachine("ssh", "dev1", "exit 3").code == 3


def test_run(dev1: Laptop) -> None:
    result = dev1.pymachine("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 42")
    assert (result.code, result.out) == (42, "out\n")
    assert "err\n" in result.err
    assert dev1.ok("run", "--rm", "-i", "busybox", "cat", stdin="hi\n") == "hi"
    assert dev1.pymachine("run", "--rm", "busybox", "nosuch").code == 127
    assert dev1.pymachine("run", "--rm", "busybox", "/etc").code == 126
    assert dev1.pymachine("run", "--rm", "nosuch.invalid/image:v1").code == 125


def test_a_container_of_ones_own(dev1: Laptop) -> None:
    dev1.ok("ssh", "dev1", "sudo mkdir -p /srv/www && echo page | sudo tee /srv/www/index.html")
    argv = [
        "-d",
        "--name",
        "web",
        "-p",
        "8080:80",
        "-v",
        "/srv/www:/www:ro",
        "busybox",
        "httpd",
        "-f",
        "-h",
        "/www",
    ]
    dev1.ok("run", *argv)
    try:
        url = f"http://{dev1.ok('ip', 'dev1')}:8080/"
        assert dev1.namespace.run(["busybox", "wget", "-qO-", url]).stdout == "page\n"
        assert "web" in dev1.ok("ps")
        assert dev1.ok("exec", "web", "cat", "/www/index.html") == "page"
        assert dev1.ok("logs", "web") == ""
        hint = dev1.pymachine("stop", "web")
        assert hint.code == 1
        assert "pymachine container stop web" in hint.err
        dev1.ok("container", "stop", "-t", "1", "web")
    finally:
        dev1.ok("container", "rm", "-f", "web")


def test_a_terminal(dev1: Laptop) -> None:
    argv = dev1.command("run", "-it", "--name", "box", "busybox", "sh")
    environment = dev1.environment | {"TERM": "xterm"}
    with Terminal(argv, environment, rows=31, columns=91) as terminal:
        terminal.expect(r"/ # ")
        time.sleep(0.3)
        terminal.type("stty size\n")
        terminal.expect("31 91")
        terminal.type("\x10\x11")
        assert terminal.wait() == 0
        assert terminal.is_restored()
    assert "box" in dev1.ok("ps")
    with Terminal(dev1.command("container", "attach", "box"), environment) as terminal:
        terminal.type("exit 5\n")
        assert terminal.wait() == 5
        assert terminal.is_restored()
    dev1.ok("container", "rm", "-f", "box")


def test_a_laptop_registry(dev1: Laptop, tmp_path: Path) -> None:
    """A reverse forward: the laptop's registry is 127.0.0.1:5000 on the machine."""
    with Registry(tmp_path, "127.0.0.1:5000", dev1.namespace.command):
        dev1.ok("forward", "-R", "127.0.0.1:5000:127.0.0.1:5000")
        name = "127.0.0.1:5000/team/box:v1"
        dev1.ok("tag", "busybox", name)
        dev1.ok("push", name)
        dev1.ok("rmi", name)
        dev1.ok("pull", name)
        assert dev1.ok("run", "--rm", name, "echo", "hi") == "hi"
        dev1.ok("rmi", name)


def test_stock_clients(dev1: Laptop, docker_cli: Path, old_docker_cli: Path) -> None:
    for cli in (docker_cli, old_docker_cli):
        engine = dev1.engine("dev1", cli)
        assert engine.ok("run", "--rm", "-i", "busybox", "cat", stdin="hi\n") == "hi"
        assert engine.docker("run", "--rm", "busybox", "sh", "-c", "exit 9").code == 9
        engine.ok(
            "run",
            "-d",
            "--name",
            "box",
            "busybox",
            "sh",
            "-c",
            "for i in 1 2 3; do echo $i; sleep 0.2; done; sleep 60",
        )
        with engine.start("logs", "-f", "box") as follower:
            assert follower.stdout
            assert [follower.stdout.readline() for _ in range(3)] == [b"1\n", b"2\n", b"3\n"]
            assert engine.ok("exec", "box", "echo", "in") == "in"
            engine.ok("stop", "-t", "0", "box")
            assert follower.wait(10) == 0
        engine.ok("rm", "box")


def test_docker_py(dev1: Laptop, docker_cli: Path) -> None:
    import docker

    client = docker.DockerClient(base_url=f"unix://{dev1.engine('dev1', docker_cli).socket}", version="auto")
    try:
        assert client.containers.run("busybox", ["echo", "hi"], remove=True) == b"hi\n"
        box = client.containers.run("busybox", ["sleep", "60"], detach=True)
        assert box.exec_run("echo in").output == b"in\n"
        box.remove(force=True)
    finally:
        client.close()


def test_docker_over_ssh_without_pymachine(dev1: Laptop, docker_cli: Path) -> None:
    """`DOCKER_HOST=ssh://…` runs `docker system dial-stdio` on the host: hostagent has its own."""
    config = dev1.home / ".ssh" / "config"
    config.parent.mkdir(mode=0o700, exist_ok=True)
    config.write_text(dev1.ok("ssh", "--config", "dev1") + "\n")
    # OpenSSH takes its home from the account, not from HOME: hence a wrapper that names the file.
    tools = dev1.home / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "ssh").write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {config} "$@"\n')
    (tools / "ssh").chmod(0o755)
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "HOME": str(dev1.home),
        "DOCKER_HOST": "ssh://dev1",
        "DOCKER_CONFIG": str(dev1.home),
    }
    for argv, stdin, expected in (
        (["version", "--format", "{{.Client.Os}}"], "", "linux\n"),
        (["run", "--rm", "-i", "busybox", "cat"], "hi\n", "hi\n"),
    ):
        done = subprocess.run(
            dev1.namespace.command([str(docker_cli), *argv]),
            check=False,
            input=stdin,
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
        )
        assert (done.returncode, done.stdout) == (0, expected), done.stderr


def test_bad_input_changes_nothing(mine: Laptop) -> None:
    before = mine.ok("ls")
    taken = mine.pymachine("create", "local", "dev1")
    assert taken.code == 1
    assert 'a machine "dev1" exists' in taken.err
    unknown = mine.pymachine("create", "nosuchcloud", "x1")
    assert unknown.code in (1, 2)
    assert "nosuchcloud" in unknown.err
    missing = mine.pymachine("stop", "nobody")
    assert missing.code == 1
    assert 'no machine named "nobody"' in missing.err
    assert mine.pymachine("create", "local", "bad/name").code in (1, 2)
    assert mine.ok("ls") == before


def test_rm_asks(mine: Laptop) -> None:
    refused = mine.pymachine("rm", "dev1", stdin="n\n")
    assert refused.code != 0
    assert "dev1" in mine.ok("ls")


def test_stop_and_start_keep_images_and_containers(dev1: Laptop) -> None:
    dev1.ok("run", "-d", "--name", "kept", "--stop-signal", "KILL", "busybox", "sleep", "1000")
    always = ["--name", "always", "--restart", "always", "--stop-signal", "KILL"]
    dev1.ok("run", "-d", *always, "busybox", "sleep", "1000")
    dev1.ok("stop", "dev1")
    assert "stopped" in dev1.ok("ls")
    dev1.ok("start", "dev1")
    assert "busybox" in dev1.ok("images")
    deadline = time.monotonic() + READY_SECONDS
    while "always" not in dev1.ok("ps"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert "kept" in dev1.ok("ps", "-a")
    dev1.ok("container", "start", "kept")
    dev1.ok("container", "rm", "-f", "kept", "always")


def test_the_daemon_dies_under_an_attached_client(dev1: Laptop) -> None:
    """Over the whole path: docker client, keeper, SSH, host."""
    script = "i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo $i; sleep 0.1; done; exit 6"
    command = dev1.command("run", "--name", "counted", "busybox", "sh", "-c", script)
    with subprocess.Popen(
        command, env=dev1.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as client:
        time.sleep(1.0)
        dev1.ok("ssh", "dev1", "sudo systemctl kill -s KILL pymachine.service")
        assert client.stdout
        assert client.stdout.read().split() == [str(n).encode() for n in range(1, 41)]
        assert client.wait(20) == 6
    assert dev1.ok("logs", "counted").split() == [str(n) for n in range(1, 41)]
    dev1.ok("container", "rm", "counted")


def test_two_machines_do_not_disturb_each_other(dev1: Laptop, busybox_tar: Path) -> None:
    dev1.ok("create", "local", "dev2")
    try:
        assert dev1.ok("ip", "dev1") != dev1.ok("ip", "dev2")
        dev1.ok("-m", "dev2", "load", "-i", str(busybox_tar))
        for name in ("dev1", "dev2"):
            dev1.ok("-m", name, "run", "-d", "--name", "same", "-p", "8080:80", "busybox", "sleep", "1000")
        assert dev1.ok("-m", "dev2", "exec", "same", "cat", "/etc/hostname")
        dev1.ok("-m", "dev2", "container", "rm", "-f", "same")
        assert "same" in dev1.ok("-m", "dev1", "ps")
        dev1.ok("-m", "dev1", "container", "rm", "-f", "same")
    finally:
        dev1.ok("rm", "--yes", "dev2")
    assert dev1.ok("run", "--rm", "-m", "64m", "busybox", "echo", "still here") == "still here"


def test_a_killed_create_is_finished_or_undone() -> None:
    with laptop() as fresh:
        for name, delay in (("k1", 0.3), ("k2", 1.2), ("k3", 2.2)):
            with subprocess.Popen(
                fresh.command("create", "local", name),
                env=fresh.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            ) as command:
                time.sleep(delay)
                os.killpg(command.pid, signal.SIGKILL)
            assert name in fresh.ok("ls")
        fresh.ok("create", "local", "k2")
        assert "running" in fresh.ok("ls")
        for name in ("k1", "k2", "k3"):
            fresh.ok("rm", "--yes", name)
        assert not any(name in fresh.ok("ls") for name in ("k1", "k2", "k3"))
        assert "pym-" not in fresh.namespace.run(["ip", "-br", "link"]).stdout


def test_as_an_ordinary_user() -> None:
    """One sentence that says what to do instead, and nothing made."""
    with tempfile.TemporaryDirectory(prefix="pmt-user-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o777)
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        environment = {"PATH": os.environ["PATH"], "PYMACHINE_HOME": f"{folder}/home", "HOME": folder}
        command = [*user, str(PYMACHINE), "create", "local", "x1"]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, timeout=30, cwd="/"
        )
        if "Permission denied" in done.stderr and str(PYMACHINE) in done.stderr:
            pytest.skip("this tree is in a folder that other users cannot enter")
        assert done.returncode == 1
        assert "needs root" in done.stderr
        assert done.stderr.count("\n") == 1
        assert not Path(folder, "home", "machines", "x1").exists()
