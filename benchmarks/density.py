"""Many containers at once: what each costs, also while nothing happens, and how the engine answers beside them."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.memory import cpu_seconds, memory_bytes
from benchmarks.work import call
from tests.servers.engine import Engine, UnixConnection

FLIGHTS = 8
CLIENTS = 4
IDLE_SECONDS = 10.0
MIX_SECONDS = 10.0
INSPECTS_PER_LIST = 9
ON_BRIDGE = 500
"""A Linux bridge takes 1,023 ports, and the kernel 1,024 neighbours unless told otherwise: the rest has no network."""


@dataclass(frozen=True)
class Density:
    """Of one engine with `count` running containers; seconds and bytes."""

    start: float
    """Of the last tenth, per container: `docker run -d`, 8 at a time."""
    memory: float
    idle_cpu: float
    """CPU seconds per second of the whole engine while nothing is asked of it."""
    calls: float
    """list/inspect mix of 4 clients, per second."""
    p99: float
    remove: float
    """Per container: 100 in one `docker rm -f`."""


def measure(engine: Engine, count: int) -> Density:
    """Starts `count` containers on an engine that has none, and removes them."""
    print(f"{engine.name}: {count} containers", file=sys.stderr)
    before = memory_bytes(engine)
    tenth = max(1, count // 10)
    _run(engine, range(count - tenth))
    begun = time.perf_counter()
    _run(engine, range(count - tenth, count))
    start = (time.perf_counter() - begun) / tenth
    time.sleep(2)
    memory = (memory_bytes(engine) - before) / count
    cpu = cpu_seconds(engine)
    time.sleep(IDLE_SECONDS)
    idle = (cpu_seconds(engine) - cpu) / IDLE_SECONDS
    calls, p99 = _mix(engine)
    names = engine.ok("ps", "-aq").split()
    batch = names[:100]
    begun = time.perf_counter()
    engine.ok("rm", "-f", *batch, timeout=300)
    remove = (time.perf_counter() - begun) / len(batch)
    for at in range(100, len(names), 100):
        engine.ok("rm", "-f", *names[at : at + 100], timeout=300)
    return Density(start, memory, idle, calls, p99, remove)


def _run(engine: Engine, numbers: range) -> None:
    def one(number: int) -> None:
        network = "bridge" if number < ON_BRIDGE else "none"
        engine.ok("run", "-d", "--network", network, "busybox", "sleep", "100000", timeout=120)

    with ThreadPoolExecutor(FLIGHTS) as pool:
        for done in [pool.submit(one, number) for number in numbers]:
            done.result()


def _mix(engine: Engine) -> tuple[float, float]:
    """(calls per second, 99th percentile in seconds)."""
    names = engine.ok("ps", "-q").split()
    end = time.perf_counter() + MIX_SECONDS
    with ThreadPoolExecutor(CLIENTS) as pool:
        parts = [pool.submit(_calls, engine, names[at::CLIENTS], end) for at in range(CLIENTS)]
        taken = sorted(seconds for part in parts for seconds in part.result())
    return len(taken) / MIX_SECONDS, statistics.quantiles(taken, n=100)[98]


def _calls(engine: Engine, names: Sequence[str], end: float) -> list[float]:
    connection = UnixConnection(engine.socket, timeout=60)
    taken: list[float] = []
    try:
        while time.perf_counter() < end:
            number = len(taken)
            one = f"/{names[number % len(names)]}" if number % (INSPECTS_PER_LIST + 1) else ""
            path = f"/containers{one}/json"
            begun = time.perf_counter()
            json.loads(call(connection, "GET", path))
            taken.append(time.perf_counter() - begun)
    finally:
        connection.close()
    return taken


_ROWS: tuple[tuple[str, Callable[[Density], float], float, str, str], ...] = (
    ("memory per running container", lambda each: each.memory, 1e6, "MB", "<= 0.3x"),
    ("`docker run -d`, 8 in parallel, the last tenth, each", lambda each: each.start, 1e-3, "ms", "<= 0.3x"),
    ("100 by one `docker rm -f`, each", lambda each: each.remove, 1e-3, "ms", "<= 0.3x"),
    ("list/inspect mix, 4 clients, per call", lambda each: 1 / each.calls, 1e-3, "ms", "<= 1x"),
    ("same, 99th percentile", lambda each: each.p99, 1e-3, "ms", "<= 1x"),
    ("idle, CPU", lambda each: each.idle_cpu, 1e-2, "%", ""),
)


def rows(engines: Sequence[Engine], count: int) -> list[str]:
    """Lines of the table: (dockerd, ours) at `count` containers."""
    theirs, ours = (measure(engine, count) for engine in engines)
    lines = []
    for title, value, unit, name, goal in _ROWS:
        left, right = value(theirs) / unit, value(ours) / unit
        ratio = f"{right / left:.2f}x" if left else ""
        lines.append(
            f"| {title}, {count} containers | {left:.2f} {name} | {right:.2f} {name} | {ratio} | {goal} | |"
        )
    return lines
