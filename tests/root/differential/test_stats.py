"""Statistics: shapes of the answers, and numbers that are true."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest

from tests.root.differential.conftest import Same
from tests.servers.engine import Engine, UnixConnection
from tests.servers.hostagent import Daemon

pytestmark = [pytest.mark.root, pytest.mark.peer]

CPU = "while :; do :; done"


def shape(value: object) -> object:
    """Keys and types, without values; lists by their first entry."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in sorted(value.items())}
    if isinstance(value, list):
        return [shape(one) for one in value[:1]]
    return type(value).__name__


def get(engine: Engine, name: str, query: str, version: str = "v1.44") -> dict[str, object]:
    body = engine.api("GET", f"/{version}/containers/{name}/stats{query}").body
    assert isinstance(body, dict), body
    return body


def samples(engine: Engine, name: str) -> Iterator[dict[str, object]]:
    """Of the endless stream."""
    connection = UnixConnection(engine.socket)
    try:
        connection.request("GET", f"/v1.44/containers/{name}/stats")
        answer = connection.getresponse()
        while line := answer.readline():
            yield json.loads(line)
    finally:
        connection.close()


def test_shapes(both: tuple[Engine, Engine]) -> None:
    """What the block devices of such a short life were asked for is chance. dockerd forgets the name in one shots."""
    for engine in both:
        engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "600")
        engine.ok(
            "run", "-d", "--name", "small", "-m", "32m", "--pids-limit", "20", "busybox", "sleep", "600"
        )
        engine.ok("run", "-d", "--name", "alone", "--network", "none", "busybox", "sleep", "600")
        engine.ok("create", "--name", "lying", "busybox")
    for name in ("box", "small", "alone", "lying"):
        # Without `one-shot` an answer takes a second or two.
        for query in ("?stream=0&one-shot=1", *(("?stream=false",) if name in ("small", "lying") else ())):
            theirs, ours = (get(engine, name, query) for engine in both)
            theirs |= {"name": f"/{name}", "id": "..."} if "one-shot" in query else {}
            for answer in (theirs, ours):
                blkio = answer["blkio_stats"]
                assert isinstance(blkio, dict)
                answer["blkio_stats"] = {key: type(value).__name__ for key, value in blkio.items()}
            assert shape(ours) == shape(theirs), (name, query)
            assert ours["name"] == f"/{name}"
    for wrong in ("box/stats?stream=1&one-shot=1", "ghost/stats", "ghost/stats?stream=1&one-shot=1"):
        refused, refusing = (engine.api("GET", f"/v1.44/containers/{wrong}") for engine in both)
        assert (refusing.status, refusing.message) == (refused.status, refused.message)


def test_numbers(engine: Engine) -> None:
    engine.ok("run", "-d", "--name", "box", "-m", "32m", "--pids-limit", "20", "busybox", "sh", "-c", CPU)
    sample = get(engine, "box", "?stream=0")
    used, before = (sample[key]["cpu_usage"]["total_usage"] for key in ("cpu_stats", "precpu_stats"))  # type: ignore[index]
    assert 0 < used - before <= 2_000_000_000
    memory = sample["memory_stats"]
    assert isinstance(memory, dict)
    assert memory["limit"] == 32 << 20
    assert 0 < memory["usage"] < 32 << 20
    assert sample["pids_stats"] == {"current": 1, "limit": 20}
    assert sample["preread"] != "0001-01-01T00:00:00Z"


def test_a_stream_follows_the_container(engine: Engine) -> None:
    """Through a stop, with no numbers, and a start, to its removal, which ends it."""
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "600")
    stream = samples(engine, "box")
    assert next(stream)["preread"] == "0001-01-01T00:00:00Z"
    second = next(stream)
    assert second["preread"] != "0001-01-01T00:00:00Z"
    assert "eth0" in second["networks"]  # type: ignore[operator]
    engine.ok("stop", "-t", "0", "box")
    quiet = next(one for one in stream if one["read"] == "0001-01-01T00:00:00Z")
    assert quiet["memory_stats"] == {}
    assert quiet["pids_stats"] == {}
    engine.ok("start", "box")
    assert next(one for one in stream if one["memory_stats"])["name"] == "/box"
    engine.ok("rm", "-f", "box")
    assert list(stream)[10:] == []


def test_the_table(both: tuple[Engine, Engine], same: Same) -> None:
    for engine in both:
        engine.ok("run", "-d", "--name", "one", "-m", "32m", "busybox", "sleep", "600")
        engine.ok("run", "-d", "--name", "two", "busybox", "sleep", "600")
        engine.ok("create", "--name", "lying", "busybox")
    same("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}} {{.CPUPerc}}", "lying")
    same("stats", "--no-stream", "ghost")
    tables = [engine.ok("stats", "--no-stream", "-a") for engine in both]
    numbers = [
        re.sub(r"[\d.]+ ?[kKMGT]?i?B|[\d.]+%|[0-9a-f]{12}", "#", re.sub(" +", " ", table)) for table in tables
    ]
    assert sorted(numbers[0].splitlines()) == sorted(numbers[1].splitlines())


def test_nobody_looks_nothing_is_read(daemon: Daemon) -> None:
    """Streams that ended leave no work behind."""
    engine = daemon.engine
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "600")
    streams = [samples(engine, "box") for _ in range(3)]
    for stream in streams:
        assert next(stream)["name"] == "/box"
    for stream in streams:
        stream.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 10
    while True:
        before = read_calls(daemon.pid)
        time.sleep(1.5)
        if read_calls(daemon.pid) - before < 8:
            return
        assert time.monotonic() < deadline, "the daemon still reads although nobody looks"


def read_calls(pid: int) -> int:
    with open(f"/proc/{pid}/io") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("syscr"))
