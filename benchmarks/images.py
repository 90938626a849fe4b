"""Builds and image traffic side by side: one context of many files, and the image of six layers that is made of it.

Both engines are on a disk made for it, a fresh ext4 in a file: the machine's own may be slow after many deletions (ext4
without a journal looks at each inode that was just deleted). Each round works on fresh names; a build is "first" after
its image and all of the build cache are gone.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.peers import buildx, tree
from tests.peers.dockerd import dockerd
from tests.servers import image
from tests.servers.engine import Engine
from tests.servers.hostagent import hostagent
from tests.servers.registry import Registry
from tests.tools import need

FILES = 76_000
FOLDERS = 6
"""Of the context, and so layers of the image."""
BYTES_PER_FILE = 17_100
"""On average; sizes fall off exponentially. Incompressible, each file different."""
DISK = "24G"  # sparse
SECONDS = 900
_PORT = 5001

Timed = Callable[[], None]


def table(cli: Path, files: int, rounds: int) -> list[str]:
    """Lines of Markdown: medians of `rounds`, engines alternating."""
    with _disk() as disk, ExitStack() as stack:
        context = disk / "context"
        make_context(context, files)
        archive = disk / "busybox.tar"
        image.busybox(archive, Path(need("busybox", "busybox-static")))
        before, tempfile.tempdir = tempfile.tempdir, str(disk)
        try:
            theirs = stack.enter_context(dockerd(cli))
            ours = stack.enter_context(hostagent(cli, checked=False)).engine
        finally:
            tempfile.tempdir = before
        sides = [_Side(engine, context, disk, archive) for engine in (theirs, ours)]
        buildx.install(theirs.share / "docker-config")
        taken: dict[str, dict[str, list[float]]] = {}
        for number in range(rounds):
            for side in sides if number % 2 == 0 else reversed(sides):
                side.round(number, taken)
    size = files * BYTES_PER_FILE / 1e9
    return [
        "# Images and builds",
        "",
        f"A context of {files} files, {size:.1f} GB, and the image of {FOLDERS} layers made of it; medians of",
        f"{rounds} rounds on a fresh ext4. What the docker client itself takes to pack and send the context is in both",
        "sides' times; push and pull are with a registry on the same machine.",
        "",
        "| Work | dockerd | hostagent | ratio | goal |",
        "| --- | --- | --- | --- | --- |",
        *(_row(title, taken[title], goal) for title, goal in GOALS.items()),
        "",
    ]


def make_context(folder: Path, files: int) -> None:
    """`files` files in FOLDERS folders of folders of 40; the same for the same number."""
    chance = random.Random(7)
    pool = chance.randbytes(4 << 20)
    for number in range(files):
        place = folder / f"part{number * FOLDERS // files}" / f"d{number // 40}"
        if number % 40 == 0 or not place.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        size = min(int(chance.expovariate(1 / BYTES_PER_FILE)), len(pool) - 1)
        begin = chance.randrange(len(pool) - size)
        (place / f"f{number}").write_bytes(b"%d\n" % number + pool[begin : begin + size])


GOALS = {
    "classic build, first": "<= 0.3x",
    "classic build, nothing changed": "<= 0.2x",
    "`pymachine build` against buildx, first": "<= 0.8x",
    "`pymachine build` against buildx, nothing changed": "<= 0.5x",
    "push": "<= 0.8x",
    "pull": "<= 0.6x",
    "save": "<= 0.8x",
    "load": "<= 0.8x",
}


class _Side:
    """One engine's rounds."""

    def __init__(self, engine: Engine, context: Path, disk: Path, busybox: Path) -> None:
        self._engine = engine
        self._context = context
        self._disk = disk
        engine.ok("load", "-i", str(busybox))
        if engine.name == "dockerd":
            self._modern = [str(engine.cli), "buildx", "build", "-q"]
        else:
            self._modern = [
                sys.executable,
                "-m",
                "tests.root.cli.on_engine",
                str(engine.socket),
                "build",
                "-q",
            ]

    def round(self, number: int, taken: dict[str, dict[str, list[float]]]) -> None:
        for title, work in self._works(number):
            start = time.perf_counter()
            work()
            seconds = time.perf_counter() - start
            if title in GOALS:
                taken.setdefault(title, {}).setdefault(self._engine.name, []).append(seconds)
                print(f"{self._engine.name}: {title}: {seconds:.2f} s", file=sys.stderr)

    def _works(self, number: int) -> Iterator[tuple[str, Timed]]:
        folders = "".join(f"COPY part{part} /app{number}/part{part}\n" for part in range(FOLDERS))
        (self._context / "Dockerfile").write_text(f"FROM busybox\n{folders}")
        name = f"127.0.0.1:{_PORT}/bench{number}"
        classic = [str(self._engine.cli), "build", "-q", "-t", name, str(self._context)]
        modern = [*self._modern, "-t", name, str(self._context)]
        yield "classic build, first", lambda: self._run(classic)
        yield "classic build, nothing changed", lambda: self._run(classic)
        yield "forget", lambda: self._forget(name)
        yield "`pymachine build` against buildx, first", lambda: self._run(modern, buildkit="1")
        yield "`pymachine build` against buildx, nothing changed", lambda: self._run(modern, buildkit="1")
        with (
            tempfile.TemporaryDirectory(dir=self._disk) as folder,
            Registry(Path(folder) / "r", f"127.0.0.1:{_PORT}", self._engine.namespace.command),
        ):
            archive = f"{folder}/image.tar"
            yield "push", lambda: self._docker("push", "-q", name)
            yield "save", lambda: self._docker("save", "-o", archive, name)
            yield "forget", lambda: self._forget(name)
            yield "load", lambda: self._docker("load", "-q", "-i", archive)
            yield "forget", lambda: self._forget(name)
            yield "pull", lambda: self._docker("pull", "-q", name)
            yield "forget", lambda: self._forget(name)

    def _docker(self, *argv: str) -> None:
        self._engine.ok(*argv, timeout=SECONDS)

    def _run(self, command: list[str], buildkit: str = "0") -> None:
        environment = self._engine.environment | {
            "DOCKER_BUILDKIT": buildkit,
            "PYMACHINE_HOME": f"{self._disk}/home",
        }
        subprocess.run(
            command,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=SECONDS,
        )

    def _forget(self, name: str) -> None:
        self._docker("rmi", "-f", name)
        self._docker("builder", "prune", "-af")


@contextmanager
def _disk() -> Iterator[Path]:
    """An ext4 of its own in a file, mounted for this process and what it starts."""
    with tempfile.TemporaryDirectory(prefix="pmb-") as folder:
        file, place = Path(folder) / "disk", Path(folder) / "d"
        place.mkdir()
        subprocess.run(["truncate", "-s", DISK, file], check=True)
        options = ["-E", "lazy_itable_init=0,lazy_journal_init=0"]
        subprocess.run([need("mkfs.ext4", "e2fsprogs"), "-q", *options, file], check=True)
        subprocess.run(["mount", "-o", "loop", file, place], check=True)
        try:
            yield place
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)


def main() -> None:
    """This table alone, on stdout."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.images", description=__doc__)
    parser.add_argument("--files", type=int, default=FILES, help="in the context (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="per engine (default: %(default)s)")
    options = parser.parse_args()
    print("\n".join(table(tree.cli_newest(), options.files, options.rounds)))


def _row(title: str, taken: dict[str, list[float]], goal: str) -> str:
    theirs, ours = (statistics.median(taken[name]) for name in ("dockerd", "hostagent"))
    return f"| {title} | {theirs:.2f} s | {ours:.2f} s | {ours / theirs:.2f}x | {goal} |"


if __name__ == "__main__":
    main()
