"""The pieces of work that are measured. Each does `count` operations and leaves the engine as it was."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.servers.engine import Engine, UnixConnection

Work = Callable[[Engine, int], None]


@dataclass(frozen=True)
class Task:
    """One row of the table. `share` scales the number of operations: slow ones are done less often."""

    title: str
    work: Work
    goal: str
    share: float = 1.0


def run(*options: str) -> Work:
    """`docker run --rm OPTIONS busybox true`, one after the other."""

    def work(engine: Engine, count: int) -> None:
        for _ in range(count):
            engine.ok("run", "--rm", *options, "busybox", "true")

    return work


def execute(engine: Engine, count: int) -> None:
    """`docker exec` in a container that runs."""
    for _ in range(count):
        engine.ok("exec", "bench-exec", "true")


def cycle(flights: int) -> Work:
    """create, start, wait, remove over the API; `flights` at a time, each on one connection of its own."""

    def work(engine: Engine, count: int) -> None:
        with ThreadPoolExecutor(flights) as pool:
            for done in [pool.submit(_cycles, engine, count // flights) for _ in range(flights)]:
                done.result()

    return work


def _cycles(engine: Engine, count: int) -> None:
    connection = UnixConnection(engine.socket, timeout=60)
    body = json.dumps({"Image": "busybox", "Cmd": ["true"]})
    try:
        for _ in range(count):
            name = json.loads(call(connection, "POST", "/containers/create", body))["Id"]
            call(connection, "POST", f"/containers/{name}/start")
            call(connection, "POST", f"/containers/{name}/wait")
            call(connection, "DELETE", f"/containers/{name}")
    finally:
        connection.close()


def call(connection: http.client.HTTPConnection, method: str, path: str, body: str | None = None) -> bytes:
    """The body of a good answer; RuntimeError with that of another."""
    connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
    answer = connection.getresponse()
    data = answer.read()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {data.decode(errors='replace')}")
    return data


TASKS = (
    Task("`docker run --rm busybox true`", run(), "<= 0.20x"),
    Task("same, `--network none`", run("--network", "none"), "<= 0.20x"),
    Task("same, `-p 18080:80`", run("-p", "18080:80"), "<= 0.20x"),
    Task("`docker exec c true`", execute, "<= 0.35x"),
    Task("API create+start+wait+remove, one at a time", cycle(1), "<= 0.083x"),
    Task("same, 8 in flight", cycle(8), "<= 0.125x", share=2.0),
)
