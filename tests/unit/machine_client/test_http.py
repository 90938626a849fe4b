from __future__ import annotations

import json
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent import wire
from machine.client.docker import DockerClient
from machine.client.docker_call import run_failure, split_reference
from machine.client.http import Http
from machine.client.stream import demultiplex
from machine.errors import CannotInvoke, CommandNotFound, DaemonError, RunFailed, Unavailable
from tests.unit.machine_client.engine import FakeEngine


@pytest.fixture
def http(engine: FakeEngine) -> Iterator[Http]:
    made = Http(engine.path)
    yield made
    made.close()


@pytest.fixture
def client(engine: FakeEngine) -> Iterator[DockerClient]:
    with DockerClient(engine.path) as made:
        yield made


def test_requests_share_a_connection(http: Http, engine: FakeEngine) -> None:
    for _ in range(10):
        assert http.request("GET", "/_ping").read() == b"OK"
    assert engine.connections == 1


def test_an_idle_connection_that_the_engine_closed_is_not_used(http: Http, engine: FakeEngine) -> None:
    assert http.request("GET", "/drop-after").read() == b"gone"
    time.sleep(0.05)
    assert b"new" in http.request("POST", "/containers/create", body=b"{}").read()
    assert http.request("GET", "/close-after").read() == b"bye"
    assert http.request("GET", "/_ping").read() == b"OK"
    assert engine.requests == ["/drop-after", "/containers/create", "/close-after", "/_ping"]


def test_large_bodies_both_ways(http: Http, engine: FakeEngine) -> None:
    size = 20_000_000
    assert sum(map(len, http.request("GET", f"/source?size={size}").pieces())) == size
    http.request("POST", "/sink", body=b"x" * size).read()
    http.request("POST", "/sink", body=(b"y" * 100_000 for _ in range(200))).read()
    assert [len(body) for body in engine.bodies[1:]] == [size, size]


def test_reports_during_an_upload_do_not_stop_it(client: DockerClient, engine: FakeEngine) -> None:
    reports = list(client.images.load(b"t" * 100_000 for _ in range(200)))
    assert reports[-1].stream == "Loaded image: x"
    assert len(reports) == 201 and len(engine.bodies[0]) == 20_000_000


def test_an_early_refusal_of_a_large_body(client: DockerClient, engine: FakeEngine) -> None:
    with pytest.raises(DaemonError, match="too much") as caught:
        client._caller.call("POST", "/refuse", body=(b"z" * 100_000 for _ in range(500)))
    assert caught.value.status == 400


def test_hijack_has_early_bytes_and_half_close(client: DockerClient, engine: FakeEngine) -> None:
    with client.containers.attach("web", stdin=True) as stream:
        assert not stream.multiplexed
        stream.write(b"hi")
        stream.close_write()
        assert b"".join(data for _, data in stream.frames()) == b"hello HI bye"
    assert "/containers/web/attach?stdin=1&stdout=1&stderr=1&stream=1&logs=0" in engine.requests


def test_silence_and_cut_answers_are_errors(http: Http, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(Unavailable, match=r"within 0\.1 s"):
        http.request("GET", "/slow?seconds=1", timeout=0.1)
    assert time.monotonic() - started < 0.9
    with pytest.raises(Unavailable, match="broke off"):
        http.request("GET", "/cut").read()
    with pytest.raises(Unavailable, match="nothing answers at"):
        Http(tmp_path / "none").request("GET", "/_ping")


def test_a_progress_stream_comes_as_it_happens_and_ends_with_its_error(
    http: Http, engine: FakeEngine
) -> None:
    from machine.client.docker_call import progress

    times = []
    with pytest.raises(DaemonError, match="no space left"):
        for report in progress(http.request("GET", "/drip")):
            assert report.status.startswith("step")
            times.append(time.monotonic())
    assert len(times) == 3 and times[2] - times[0] > 0.08


def test_typed_calls(client: DockerClient, engine: FakeEngine) -> None:
    assert client.ping() == "1.47"
    assert client.containers.list(all=True, chosen={"label": ["a=b"]})[0].id == "abc"
    assert engine.requests[-1].startswith("/containers/json?all=1&size=0&filters=%7B%22label%22")
    created = client.containers.create(wire.ContainerCreate(image="busybox", cmd=["true"]), name="web")
    assert created.id == "new"
    assert json.loads(engine.bodies[-1])["Cmd"] == ["true"]
    assert client.containers.start("web") and not client.containers.start("running")
    with pytest.raises(DaemonError, match="conflict: it runs") as caught:
        client.containers.remove("web", force=True)
    assert caught.value.status == 409
    with pytest.raises(DaemonError, match="page not found: /images/host:5000/a/b:v1/json"):
        client.images.inspect("host:5000/a/b:v1")


def test_a_wait_is_accepted_before_it_is_over(client: DockerClient) -> None:
    waiter = client.containers.wait("web")
    assert select.select([waiter], [], [], 0)[0] in ([], [waiter])
    waiter.close()


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        ('exec: "x": executable file not found in $PATH', CommandNotFound, 127),
        ('exec: "/x": stat /x: no such file or directory', CommandNotFound, 127),
        ('exec: "/etc": is a directory', CannotInvoke, 126),
        ("Bind for 0.0.0.0:80 failed: port is already allocated", RunFailed, 125),
    ],
)
def test_exit_codes_of_a_run_that_did_not_start(text: str, kind: type[RunFailed], code: int) -> None:
    failure = run_failure(DaemonError(text, 400))
    assert type(failure) is kind and failure.exit_code == code


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("busybox", ("busybox", None)),
        ("busybox:1.36", ("busybox", "1.36")),
        ("host:5000/a/b", ("host:5000/a/b", None)),
        ("host:5000/a/b:v1", ("host:5000/a/b", "v1")),
        ("a/b:v1@sha256:0f", ("a/b", "sha256:0f")),
    ],
)
def test_references_are_split_as_the_api_wants_them(reference: str, parts: tuple[str, str | None]) -> None:
    assert split_reference(reference) == parts


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=300))), st.integers(1, 50))
def test_frames_survive_any_cut(frames: list[tuple[int, bytes]], step: int) -> None:
    raw = b"".join(bytes([n, 0, 0, 0]) + len(data).to_bytes(4, "big") + data for n, data in frames)
    got = list(demultiplex(raw[at : at + step] for at in range(0, len(raw), step)))
    for stream in (1, 2):
        assert b"".join(d for n, d in got if n == stream) == b"".join(d for n, d in frames if n == stream)


def test_a_cut_frame_is_an_error() -> None:
    with pytest.raises(Unavailable, match="middle of the output"):
        list(demultiplex([b"\1\0\0\0\0\0\0\5abc"]))
