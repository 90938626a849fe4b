"""`pymachine stats`: what containers use, drawn anew every second."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from machine.cli.completion import running_names
from machine.cli.options import FormatOption, JsonOption, MachineOption, NoTruncOption
from machine.cli.output import Column, Record, print_list

if TYPE_CHECKING:
    from hostagent.wire.stats import BlkioEntry, CPUStats, MemoryStats, Stats
    from machine.client.docker import DockerClient

_COLUMNS: Final = (
    Column("CONTAINER ID", "ID"),
    Column("NAME", "Name"),
    Column("CPU %", "CPUPerc"),
    Column("MEM USAGE / LIMIT", "MemUsage"),
    Column("MEM %", "MemPerc"),
    Column("NET I/O", "NetIO"),
    Column("BLOCK I/O", "BlockIO"),
    Column("PIDS", "PIDs"),
)
_EVERY: Final = 1.0  # seconds between two tables, as often as the engine samples
_CLEAR: Final = "\x1b[H\x1b[J"


def stats(
    ctx: typer.Context,
    containers: Annotated[
        list[str] | None, typer.Argument(metavar="[CONTAINER]...", autocompletion=running_names)
    ] = None,
    machine: MachineOption = None,
    everything: Annotated[
        bool, typer.Option("-a", "--all", help="stopped ones too", rich_help_panel="What")
    ] = False,
    no_stream: Annotated[
        bool, typer.Option("--no-stream", help="once, then end", rich_help_panel="Output")
    ] = False,
    no_trunc: NoTruncOption = False,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what containers use: CPU, memory, network, disk.

    pymachine stats
    pymachine stats --no-stream --format '{{.Name}} {{.CPUPerc}}' web
    """
    from machine.cli import target

    def show(samples: list[Stats]) -> None:
        records = [record(sample, shorten=not no_trunc) for sample in samples]
        print_list(records, _COLUMNS, key="ID", form=form, as_json=as_json)
        sys.stdout.flush()

    with target.engine(ctx, machine) as client:
        if no_stream:
            names = containers or [found.id for found in client.containers.list(all=everything)]
            show(_once(client, names))
            return
        tables = _Tables(client, list(containers or ()), everything)
        live = sys.stdout.isatty() and form is None and not as_json
        for samples in tables:
            if live:
                sys.stdout.write(_CLEAR)
            show(samples)


def _once(client: DockerClient, names: list[str]) -> list[Stats]:
    """A sample of each, all at the same time: the engine takes a second for it."""
    found: dict[str, Stats | Exception] = {}

    def ask(name: str) -> None:
        try:
            found[name] = client.containers.stats_once(name)
        except Exception as error:  # raised again below, in the thread of whoever asked
            found[name] = error

    threads = [threading.Thread(target=ask, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    samples: list[Stats] = []
    for name in names:
        sample = found[name]
        if isinstance(sample, Exception):
            raise sample
        samples.append(sample)
    return samples


class _Tables:
    """The newest sample of each container, once a second; containers come and go unless they were named."""

    def __init__(self, client: DockerClient, names: list[str], everything: bool) -> None:
        self._client = client
        self._names = names
        self._everything = everything
        self._newest: dict[str, Stats] = {}
        self._followed: set[str] = set()
        self._changed = threading.Condition()

    def __iter__(self) -> Iterator[list[Stats]]:
        for name in self._names:
            self._follow(name)
        while True:
            if not self._names:
                for found in self._client.containers.list(all=self._everything):
                    self._follow(found.id)
            with self._changed:
                self._changed.wait_for(self._complete, timeout=2 * _EVERY)
                if self._names and not self._followed:
                    return
                table = [self._newest[name] for name in self._newest if name in self._followed]
            yield table
            threading.Event().wait(_EVERY)

    def _complete(self) -> bool:
        return self._followed <= self._newest.keys()

    def _follow(self, name: str) -> None:
        if name in self._followed:
            return
        samples = self._client.containers.stats(name)  # tells at once that there is no such container
        self._followed.add(name)
        threading.Thread(target=self._read, args=(name, samples), daemon=True).start()

    def _read(self, name: str, samples: Iterator[Stats]) -> None:
        from machine.errors import MachineError

        try:
            for sample in samples:
                with self._changed:
                    self._newest[name] = sample
                    self._changed.notify()
        except MachineError:
            pass  # the connection is gone: whoever lists the containers next says why
        finally:
            with self._changed:
                self._followed.discard(name)
                self._newest.pop(name, None)
                self._changed.notify()


def record(sample: Stats, *, shorten: bool) -> Record:
    """The fields of docker's `stats --format`. Without a sample (it does not run) they are `--`."""
    from machine.cli import show

    name = sample.name.removeprefix("/")
    head = {"ID": show.short_id(sample.id) if shorten else sample.id, "Name": name, "Container": sample.id}
    if not sample.pids_stats.current:
        nothing = {"CPUPerc": "--", "MemPerc": "--", "PIDs": "--"}
        return head | nothing | dict.fromkeys(("MemUsage", "NetIO", "BlockIO"), "-- / --")
    used, limit = memory_used(sample.memory_stats), sample.memory_stats.limit
    received = sum(network.rx_bytes for network in sample.networks.values())
    sent = sum(network.tx_bytes for network in sample.networks.values())
    read, written = disk(sample.blkio_stats.io_service_bytes_recursive or [])
    return head | {
        "CPUPerc": f"{cpu_percent(sample.precpu_stats, sample.cpu_stats):.2f}%",
        "MemUsage": f"{show.binary_size(used)} / {show.binary_size(limit)}",
        "MemPerc": f"{100 * used / limit if limit else 0:.2f}%",
        "NetIO": f"{show.size(received)} / {show.size(sent)}",
        "BlockIO": f"{show.size(read)} / {show.size(written)}",
        "PIDs": str(sample.pids_stats.current),
    }


def cpu_percent(before: CPUStats, now: CPUStats) -> float:
    """100 is one CPU, as docker counts."""
    used = now.cpu_usage.total_usage - before.cpu_usage.total_usage
    passed = now.system_cpu_usage - before.system_cpu_usage
    cpus = now.online_cpus or len(now.cpu_usage.percpu_usage) or 1
    return 100 * cpus * used / passed if passed > 0 and used > 0 else 0.0


def memory_used(memory: MemoryStats) -> int:
    """Bytes without the file cache that the kernel gives up first, on cgroup v1 and v2."""
    cache = memory.stats.get("total_inactive_file", memory.stats.get("inactive_file", 0))
    return memory.usage - cache if cache < memory.usage else memory.usage


def disk(entries: list[BlkioEntry]) -> tuple[int, int]:
    """(bytes read, bytes written)."""
    sums = {"r": 0, "w": 0}
    for entry in entries:
        kind = entry.op[:1].lower()
        if kind in sums:
            sums[kind] += entry.value
    return sums["r"], sums["w"]
