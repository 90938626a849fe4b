"""Our client and the stock docker CLI, through keeper and sshd, against dockerd and against hostagent."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostagent import wire
from machine.client.docker import DockerClient
from machine.client.docker_call import run_failure
from machine.client.keeper_start import ensure_keeper, forget_keeper
from machine.errors import DaemonError
from machine.model.paths import record_path
from tests.servers.engine import Engine
from tests.unit.machine_ssh.sshd import Sshd

pytestmark = pytest.mark.root


@pytest.fixture
def keeper(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The socket of a keeper whose machine is this engine."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYMACHINE_HOME", str(tmp_path / "h"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    folder = tmp_path / "sshd"
    folder.mkdir()
    with Sshd(folder) as sshd:
        machine = dataclasses.replace(sshd.machine, engine_socket=str(engine.socket))
        path = record_path(machine.name)
        path.parent.mkdir(parents=True)
        path.write_bytes(machine.to_json())
        try:
            yield ensure_keeper(machine)
            assert sshd.handshakes() == 1
        finally:
            forget_keeper(machine.name)


@pytest.fixture
def client(keeper: Path) -> Iterator[DockerClient]:
    with DockerClient(keeper) as made:
        yield made


def container(
    client: DockerClient, *command: str, tty: bool = False, stdin: bool = False, name: str | None = None
) -> str:
    body = wire.ContainerCreate(
        image="busybox", cmd=list(command), tty=tty, open_stdin=stdin, stdin_once=stdin, attach_stdin=stdin
    )
    return client.containers.create(body, name=name).id


def test_a_run_as_the_command_does_it(client: DockerClient) -> None:
    identity = container(client, "sh", "-c", "cat; echo err >&2; exit 7", stdin=True)
    waiter = client.containers.wait(identity, "next-exit")
    with client.containers.attach(identity, stdin=True, tty=False) as stream:
        assert client.containers.start(identity)
        stream.write(b"hi\n")
        stream.close_write()
        out = list(stream.frames())
    assert b"".join(data for number, data in out if number == 1) == b"hi\n"
    assert b"".join(data for number, data in out if number == 2) == b"err\n"
    assert waiter.result().status_code == 7
    with client.containers.logs(identity) as logs:
        assert b"".join(data for number, data in logs if number == 1) == b"hi\n"
    client.containers.remove(identity)


def test_a_terminal_is_not_multiplexed(client: DockerClient) -> None:
    identity = container(client, "sh", "-c", "stty size; echo out", tty=True)
    client.containers.start(identity)
    client.containers.wait(identity).result()
    with client.containers.logs(identity, tty=True) as logs:
        assert b"out\r\n" in b"".join(data for _, data in logs)


def test_following_ends_with_the_container(client: DockerClient) -> None:
    identity = container(client, "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.2; done")
    client.containers.start(identity)
    with client.containers.logs(identity, follow=True) as logs:
        assert b"".join(data for _, data in logs) == b"1\n2\n3\n"


def test_lifecycle_and_lists(client: DockerClient) -> None:
    identity = container(client, "sleep", "60", name="web")
    client.containers.start(identity)
    assert client.containers.start(identity) is False
    assert [c.names for c in client.containers.list(chosen={"name": ["web"]})] == [["/web"]]
    assert client.containers.inspect("web").name == "/web"
    assert json.loads(client.containers.inspect_raw("web"))["Id"] == identity
    assert client.containers.stop("web", timeout=0) is True
    assert client.containers.stop("web") is False
    assert client.containers.list() == []
    assert len(client.containers.list(all=True)) == 1
    client.containers.remove("web")
    with pytest.raises(DaemonError, match="No such container: web") as caught:
        client.containers.inspect("web")
    assert caught.value.status == 404


def test_exec(client: DockerClient) -> None:
    identity = container(client, "sleep", "60")
    client.containers.start(identity)
    body = wire.ExecCreate(
        cmd=["sh", "-c", "cat; exit 3"], attach_stdin=True, attach_stdout=True, attach_stderr=True
    )
    exec_id = client.execs.create(identity, body)
    with client.execs.start(exec_id) as stream:
        stream.write(b"in")
        stream.close_write()
        assert b"".join(data for _, data in stream.frames()) == b"in"
    assert client.execs.inspect(exec_id).exit_code == 3
    client.containers.kill(identity)


def test_what_does_not_start_has_dockers_exit_codes(client: DockerClient) -> None:
    for command, code in (("nosuch", 127), ("/nosuch", 127), ("/etc", 126)):
        identity = container(client, command)
        with pytest.raises(DaemonError) as caught:
            client.containers.start(identity)
        assert run_failure(caught.value).exit_code == code, str(caught.value)


def test_images(client: DockerClient, busybox_tar: Path) -> None:
    def archive() -> Iterator[bytes]:
        with busybox_tar.open("rb") as file:
            while piece := file.read(100_000):
                yield piece

    reports = list(client.images.load(archive()))
    assert any("Loaded image" in report.stream for report in reports)
    client.images.tag("busybox", "localhost:5000/mine/box:v1")
    tags = {tag for image in client.images.list() for tag in image.repo_tags or ()}
    assert {"busybox:latest", "localhost:5000/mine/box:v1"} <= tags
    assert client.images.inspect("localhost:5000/mine/box:v1").id == client.images.inspect("busybox").id
    assert client.images.history("busybox")
    saved = b"".join(client.images.save(["busybox"]))
    assert len(saved) > 500_000 and b"manifest.json" in saved
    removed = client.images.remove("localhost:5000/mine/box:v1")
    assert [item.untagged for item in removed if item.untagged] == ["localhost:5000/mine/box:v1"]
    with pytest.raises(DaemonError, match="No such image"):
        client.images.inspect("localhost:5000/mine/box:v1")
    with pytest.raises(DaemonError):
        list(client.images.pull("localhost:1/nothing:v1"))


def test_events_and_facts(client: DockerClient, engine: Engine) -> None:
    assert tuple(map(int, client.ping().split("."))) >= (1, 44)
    assert client.version().api_version == client.ping()
    assert client.info().n_cpu >= 1
    events = client.events(chosen={"type": ["container"]})
    made: list[str] = []
    maker = threading.Thread(target=lambda: made.append(container(client, "true")))
    maker.start()
    event = next(events)
    maker.join()
    assert (event.type, event.action, event.actor.id) == ("container", "create", made[0])
    events.close()  # type: ignore[attr-defined]  # a generator


def test_the_stock_client_through_the_keeper(engine: Engine, keeper: Path) -> None:
    through = dataclasses.replace(engine, socket=keeper)
    assert through.ok("run", "--rm", "-i", "busybox", "cat", stdin="hi\n") == "hi"
    assert through.docker("run", "--rm", "busybox", "sh", "-c", "exit 42").code == 42
    with through.start("run", "--rm", "busybox", "head", "-c", "50000000", "/dev/zero") as client:
        assert client.stdout is not None
        time.sleep(0.3)  # a reader that comes late loses nothing
        assert len(client.stdout.read()) == 50_000_000
    data = b"d" * 5_000_000
    with through.start("run", "--rm", "-i", "busybox", "wc", "-c", stdin=subprocess.PIPE) as client:
        assert client.communicate(data, timeout=60)[0] == b"5000000\n"
