"""Images from one engine to others: only missing layers, digests kept, resumable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from machine.client import push_to as client
from machine.client.docker import DockerClient
from machine.client.docker_handover import Handovers
from machine.errors import MachineError, Unavailable
from tests.servers.engine import Engine
from tests.servers.hostagent import Daemon, hostagent

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def other(docker_cli: Path) -> Iterator[Engine]:
    """A second host, which has nothing."""
    with hostagent(docker_cli) as daemon:
        yield daemon.engine


@pytest.fixture
def source(our_daemon: Daemon) -> Iterator[DockerClient]:
    with DockerClient(our_daemon.engine.socket) as found:
        yield found


@pytest.fixture
def empty(other: Engine) -> Iterator[DockerClient]:
    """The other host, with no image."""
    for name in other.ok("images", "-aq", "--no-trunc").split():
        other.docker("rmi", "-f", name)
    with DockerClient(other.socket) as found:
        yield found


def build(engine: Engine, directory: Path, name: str, lines: str) -> str:
    (directory / "Dockerfile").write_text(lines)
    engine.docker("build", "-q", "-t", name, str(directory))
    return engine.ok("image", "inspect", "-f", "{{.Id}}", name)


def push(source: DockerClient, target: DockerClient, image: str) -> client.Outcome:
    _, outcomes = client.push_to(source.handovers, {"t": target.handovers}, image, lambda name, size: None)
    if outcomes["t"].error is not None:
        raise outcomes["t"].error
    return outcomes["t"]


def test_only_missing_layers_travel(
    our_daemon: Daemon, source: DockerClient, other: Engine, empty: DockerClient, tmp_path: Path
) -> None:
    engine = our_daemon.engine
    first = build(
        engine, tmp_path, "app:1", "FROM busybox\nRUN echo one > /one; ln /one /twin; chmod 4711 /one\n"
    )
    assert push(source, empty, "app:1").lacked == 2
    assert other.ok("image", "inspect", "-f", "{{.Id}}", "app:1") == first
    assert other.ok("run", "--rm", "app:1", "sh", "-c", "stat -c '%a %h' /one; cat /twin") == "4711 2\none"
    again = push(source, empty, "app:1")
    assert (again.lacked, again.sent) == (0, 0)
    second = build(engine, tmp_path, "app:2", "FROM app:1\nRUN echo two > /two\n")
    outcome = push(source, empty, second)
    assert (outcome.lacked, outcome.layers, outcome.sent < 10_000) == (1, 3, True)
    assert other.ok("run", "--rm", second, "cat", "/two") == "two"


def test_digests_of_a_registry_are_kept(
    our_daemon: Daemon, source: DockerClient, other: Engine, empty: DockerClient
) -> None:
    engine, name = our_daemon.engine, "127.0.0.1:5000/kept:1"
    engine.ok("tag", "busybox", name)
    engine.ok("push", "-q", name)
    engine.ok("rmi", "-f", name, "busybox")
    engine.ok("pull", "-q", name)
    engine.ok("tag", name, "busybox")
    push(source, empty, name)
    shown = "{{.Id}} {{.RepoDigests}} {{.RepoTags}}"
    found = other.ok("image", "inspect", "-f", shown, name)
    digests = engine.ok("image", "inspect", "-f", "{{.Id}} {{.RepoDigests}}", name)
    assert found == f"{digests} [{name}]"


def test_a_broken_line_costs_only_the_rest(
    our_daemon: Daemon,
    source: DockerClient,
    other: Engine,
    empty: DockerClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "BATCH", 1 << 20)
    name = "big:1"
    build(our_daemon.engine, tmp_path, name, "FROM busybox\nRUN head -c 5000000 /dev/urandom > /big\n")
    push(source, empty, "busybox")

    class Breaking(Handovers):
        left = 3

        def send(self, stream: Iterable[bytes]) -> None:
            self.left -= 1
            if not self.left:
                raise Unavailable("the line broke")
            super().send(stream)

    breaking = Breaking(empty._caller)
    _, outcomes = client.push_to(source.handovers, {"t": breaking}, name, lambda name, size: None)
    assert "the line broke" in str(outcomes["t"].error)
    outcome = push(source, empty, name)
    assert (outcome.lacked, 0 < outcome.sent < 3_200_000) == (1, True), outcome
    sums = [engine.ok("run", "--rm", name, "sha256sum", "/big") for engine in (our_daemon.engine, other)]
    assert sums[0] == sums[1]


def test_one_bad_target_does_not_stop_the_others(
    source: DockerClient, other: Engine, empty: DockerClient, tmp_path: Path
) -> None:
    with DockerClient(tmp_path / "nobody") as nobody:
        targets = {"good": empty.handovers, "bad": nobody.handovers}
        _, outcomes = client.push_to(source.handovers, targets, "busybox", lambda name, size: None)
    assert isinstance(outcomes["bad"].error, MachineError)
    assert outcomes["good"].error is None
    assert other.ok("run", "--rm", "busybox", "echo", "here") == "here"


def test_parts_that_do_not_fit_are_refused(source: DockerClient, empty: DockerClient) -> None:
    import msgspec

    parts = source.handovers.parts("busybox")
    wrong: dict[str, dict[str, object]] = {
        "configuration": {"config": parts.config + b" "},
        "layers": {"layers": []},
        "digest": {"layers": [msgspec.structs.replace(parts.layers[0], digest="../../x")]},
    }
    for words, change in wrong.items():
        with pytest.raises(MachineError, match=words):
            empty.handovers.take(msgspec.structs.replace(parts, **change))


@pytest.mark.peer
def test_an_engine_of_others_is_told_as_such(source: DockerClient, peer_engine: Engine) -> None:
    with DockerClient(peer_engine.socket) as theirs:
        with pytest.raises(MachineError, match="use save and load"):
            theirs.handovers.parts("busybox")
        _, outcomes = client.push_to(
            source.handovers, {"t": theirs.handovers}, "busybox", lambda name, size: None
        )
    assert "use save and load" in str(outcomes["t"].error)
    with pytest.raises(MachineError, match="No such image"):
        source.handovers.parts("nothing:1")
