"""Other clients than the newest CLI: Debian 12's docker 20.10 and docker-py."""

from __future__ import annotations

from pathlib import Path

import docker

from tests.e2e.terminal import Terminal
from tests.servers.engine import Engine


def test_docker_20_10(engine: Engine, old_docker_cli: Path) -> None:
    def ok(*argv: str, stdin: str | None = None) -> str:
        result = engine.docker(*argv, stdin=stdin, cli=old_docker_cli)
        assert result.code == 0, result.err
        return result.out.rstrip("\n")

    assert ok("run", "--rm", "-i", "busybox", "cat", stdin="hi\n") == "hi"
    assert engine.docker("run", "--rm", "busybox", "sh", "-c", "exit 8", cli=old_docker_cli).code == 8
    ok("run", "-d", "--name", "box", "-p", "8090:80", "busybox", "sh", "-c", "echo up; sleep 60")
    assert ok("logs", "box") in ("up", "")
    assert ok("exec", "box", "echo", "inside") == "inside"
    assert ok("ps", "--format", "{{.Names}} {{.Ports}}").startswith("box 0.0.0.0:8090->80/tcp")
    assert "Version" in ok("version")
    assert "Server Version" in ok("info")
    ok("stop", "-t", "0", "box")
    ok("rm", "box")
    assert ok("images", "-q") != ""


def test_docker_20_10_with_a_terminal(engine: Engine, old_docker_cli: Path) -> None:
    with Terminal(
        [str(old_docker_cli), "run", "-it", "--rm", "busybox", "sh"], engine.environment
    ) as terminal:
        terminal.expect(r"/ # ")
        terminal.type("exit 6\n")
        assert terminal.wait() == 6


def test_docker_py(engine: Engine) -> None:
    client = docker.DockerClient(base_url=f"unix://{engine.socket}", version="auto")
    try:
        assert client.ping()
        assert client.containers.run("busybox", ["echo", "hi"], remove=True) == b"hi\n"
        box = client.containers.run("busybox", ["sh", "-c", "echo up; sleep 60"], name="box", detach=True)
        stream = box.logs(stream=True, follow=True)
        assert next(stream) == b"up\n"
        code, output = box.exec_run(["sh", "-c", "echo out; exit 3"])
        assert (code, output) == (3, b"out\n")
        box.reload()
        assert box.status == "running"
        box.stop(timeout=0)
        assert box.wait()["StatusCode"] == 137
        assert list(stream) == []
        box.remove()
        assert client.containers.list(all=True) == []
        try:
            client.containers.get("nope")
        except docker.errors.NotFound as error:
            assert "No such container: nope" in str(error)
        else:
            raise AssertionError("a container that does not exist was found")
        assert client.images.get("busybox").tags == ["busybox:latest"]
    finally:
        client.close()


def test_docker_py_attached_socket(engine: Engine) -> None:
    client = docker.DockerClient(base_url=f"unix://{engine.socket}", version="auto")
    try:
        box = client.containers.create("busybox", ["cat"], stdin_open=True)
        sock = box.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
        box.start()
        sock._sock.sendall(b"hi\n")
        data = b""
        while len(data) < 11:
            data += sock._sock.recv(100)
        assert data == b"\x01\0\0\0\0\0\0\x03hi\n"
        sock._sock.close()
        sock.close()
        box.remove(force=True)
    finally:
        client.close()


def test_many_clients_at_once(engine: Engine) -> None:
    clients = [engine.start("run", "--rm", "busybox", "echo", str(n)) for n in range(12)]
    try:
        assert [client.communicate(timeout=60)[0] for client in clients] == [
            f"{n}\n".encode() for n in range(12)
        ]
    finally:
        for client in clients:
            if client.poll() is None:
                client.kill()
                client.wait()
    assert [client.returncode for client in clients] == [0] * len(clients)
