"""Side by side with dockerd 26.1: `python -m benchmarks` writes benchmarks/RESULTS.md.

Method: the same docker client, options, image and machine for both engines; rounds alternate between them, the
order changes from round to round; medians of the rounds. Stopped containers are present throughout. A round
ends when the engine is drained: no container of the round is left, by its own list. CPU seconds are those of
the whole machine, clients included: run it on an idle machine. Absolute times are for orientation; ratios count.
Builds, pull, push, save and load have engines and a disk of their own (benchmarks/images.py); buildx is Debian 13's.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import density, images, laptop, traffic
from benchmarks.memory import memory_bytes
from benchmarks.work import TASKS, Task
from tests.peers import tree
from tests.peers.dockerd import dockerd
from tests.servers import image
from tests.servers.engine import Engine
from tests.servers.hostagent import hostagent
from tests.tools import need

RESULTS = Path(__file__).with_name("RESULTS.md")


@dataclass
class Figures:
    """Of one engine and task: seconds and CPU seconds per operation, one number per round."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def main() -> None:
    options = _options()
    cli = tree.cli_newest()
    with (
        tempfile.TemporaryDirectory() as folder,
        dockerd(cli) as theirs,
        hostagent(cli, checked=False) as daemon,
    ):
        archive = Path(folder) / "busybox.tar"
        image.busybox(archive, Path(need("busybox", "busybox-static")))
        engines = (theirs, daemon.engine)
        for engine in engines:
            engine.ok("load", "-i", str(archive))
        idle = [memory_bytes(engine) for engine in engines]
        dense = [line for count in options.density for line in density.rows(engines, count)]
        dense += traffic.rows(engines)
        for engine in engines:
            _prepare(engine, options.stopped)
        rows = [_compare(task, engines, options) for task in TASKS]
        rows += [_row("engine idle, memory", idle, 1e6, "MB", "<= 0.4x"), *dense]
        _write(rows, cli, options)
        for engine in engines:
            engine.clean()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds per engine (default: %(default)s)")
    parser.add_argument(
        "--operations", type=int, default=40, help="operations per round (default: %(default)s)"
    )
    parser.add_argument(
        "--stopped", type=int, default=200, help="stopped containers present (default: %(default)s)"
    )
    parser.add_argument(
        "--files", type=int, default=images.FILES, help="of a build's context (default: %(default)s)"
    )
    parser.add_argument(
        "--image-rounds", type=int, default=1, help="of builds, pull, push (default: %(default)s)"
    )
    parser.add_argument(
        "--density",
        type=int,
        nargs="*",
        default=[100, 1000],
        help="numbers of containers that run at once (default: %(default)s)",
    )
    return parser.parse_args()


def _prepare(engine: Engine, stopped: int) -> None:
    for _ in range(stopped):
        engine.ok("create", "--network", "none", "busybox", "true")
    engine.ok("run", "-d", "--name", "bench-exec", "busybox", "sleep", "100000")


def _compare(task: Task, engines: Sequence[Engine], options: argparse.Namespace) -> str:
    figures = {engine.name: Figures() for engine in engines}
    count = max(8, int(options.operations * task.share))
    for number in range(options.rounds):
        for engine in engines if number % 2 == 0 else reversed(engines):
            _measure(task, engine, count, figures[engine.name])
    theirs, ours = (figures[engine.name] for engine in engines)
    wall = [statistics.median(theirs.wall), statistics.median(ours.wall)]
    cpu = [statistics.median(theirs.cpu), statistics.median(ours.cpu)]
    print(f"{task.title}: {wall[0] * 1e3:.0f} ms, ours {wall[1] * 1e3:.0f} ms", file=sys.stderr)
    cells = [f"{wall[0] * 1e3:.1f} ms", f"{wall[1] * 1e3:.1f} ms", f"{wall[1] / wall[0]:.2f}x", task.goal]
    cells += [f"{cpu[0] * 1e3:.0f} / {cpu[1] * 1e3:.0f} ms"]
    return f"| {task.title} | {' | '.join(cells)} |"


def _measure(task: Task, engine: Engine, count: int, figures: Figures) -> None:
    before = len(engine.ok("ps", "-aq").split())
    cpu, start = _busy(), time.perf_counter()
    task.work(engine, count)
    while len(engine.ok("ps", "-aq").split()) > before:
        time.sleep(0.01)
    figures.wall.append((time.perf_counter() - start) / count)
    figures.cpu.append((_busy() - cpu) / count)


def _busy() -> float:
    """CPU seconds that the machine has spent on anything but idling (proc(5), stat)."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _iowait, irq, softirq = (
            int(word) for word in file.readline().split()[1:8]
        )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _row(title: str, values: Sequence[float], unit: float, name: str, goal: str) -> str:
    theirs, ours = (value / unit for value in values)
    return f"| {title} | {theirs:.2f} {name} | {ours:.2f} {name} | {ours / theirs:.2f}x | {goal} | |"


def _write(rows: Sequence[str], cli: Path, options: argparse.Namespace) -> None:
    lines = [
        "# Measured beside dockerd 26.1",
        "",
        "Written by `python -m benchmarks` (its docstring has the method). Ratios below 1 mean that hostagent is",
        "faster or smaller. Goals are those of the project's design; throughput goals are turned into times.",
        "",
        f"{time.strftime('%Y-%m-%d')}: {os.cpu_count()} CPUs, Linux {platform.release()}, "
        f"Python {platform.python_version()}; client"
        f" {tree.version_text(cli)}; {options.rounds} rounds of {options.operations} operations,"
        f" {options.stopped} stopped containers present.",
        "",
        "| Work | dockerd | hostagent | ratio | goal | CPU per operation |",
        "| --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
        *images.table(cli, options.files, options.image_rounds),
        *laptop.table(),
    ]
    RESULTS.write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
