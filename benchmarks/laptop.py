"""The command line on the laptop, as ratios to a bare start of the same interpreter."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time

from tests.e2e.machine import Laptop, laptop

RUNS = 21


def table() -> list[str]:
    """Lines of Markdown: medians of RUNS alternating starts, and how long a machine takes with filled caches."""
    with laptop() as made:
        created = made.pymachine("create", "local", "dev1")
        seconds = re.search(r"is ready \(([\d.]+) s\)", created.out + created.err)
        if created.code or not seconds:
            raise RuntimeError(f"create failed: {created.err}")
        made.ok("ps")  # the keeper starts, once
        commands = {
            "a bare interpreter (`python -c pass`)": made.namespace.command([sys.executable, "-c", "pass"]),
            "`pymachine --help`": made.command("--help"),
            "`pymachine ps` on a warm connection": made.command("ps"),
        }
        taken: dict[str, list[float]] = {title: [] for title in commands}
        for _ in range(RUNS):
            for title, command in commands.items():
                taken[title].append(_time(made, command))
    bare, *_ = medians = [statistics.median(times) for times in taken.values()]
    rows = [
        f"| {title} | {median * 1e3:.0f} ms | {median / bare:.1f}x |"
        for title, median in zip(taken, medians, strict=True)
    ]
    return [
        "# The command line on the laptop",
        "",
        f"Medians of {RUNS} alternating runs, the entering of the test's namespace included.",
        "",
        "| Work | time | to a bare start |",
        "| --- | --- | --- |",
        *rows,
        f"| `pymachine create local dev1`, caches filled | {float(seconds[1]):.1f} s | |",
        "",
    ]


def _time(made: Laptop, command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=made.environment)
    return time.perf_counter() - start
