"""`pymachine ls`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from machine.cli.options import FormatOption, JsonOption, QuietOption
from machine.cli.output import Column, Record, print_list

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from machine.drivers.base import Driver
    from machine.model.machine import Machine
    from machine.store.store import Store, Summary

_COLUMNS: Final = (
    Column("NAME", "Title"),
    Column("DRIVER", "Driver"),
    Column("STATE", "State"),
    Column("ADDRESS", "Address"),
    Column("CONTAINERS", "Containers"),
    Column("$/H", "Hourly"),
    Column("SPENT", "Spent"),
    Column("ENDS", "Ends"),
)


def ls(
    local: Annotated[
        bool,
        typer.Option(
            "--local", help="what is known here, without asking drivers and engines", rich_help_panel="What"
        ),
    ] = False,
    quiet: QuietOption = False,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """List machines, half-made ones too.

    pymachine ls
    pymachine ls --format '{{.Name}} {{.Address}}'
    """
    from machine.cli.console import note
    from machine.cli.target import FIRST
    from machine.store.store import Store

    store = Store()
    found = store.list()
    if quiet or local:
        records = [record(summary, "unknown", None) for summary in found]
    else:
        from concurrent.futures import ThreadPoolExecutor

        known = _drivers(store, found)
        with ThreadPoolExecutor(max_workers=8) as pool:
            records = list(pool.map(lambda summary: _asked(store, summary, known), found))
    if not found and form is None and not (as_json or quiet):
        note(f"there is no machine yet. {FIRST}")
        return
    print_list(records, _COLUMNS, key="Name", form=form, as_json=as_json, quiet=quiet)


def _drivers(store: Store, found: Sequence[Summary]) -> dict[str, Driver]:
    """One of each kind for all its machines."""
    from machine.drivers.base import get
    from machine.errors import Usage

    known = {}
    for name in {summary.machine.driver for summary in found if summary.machine is not None}:
        try:
            known[name] = get(name, store)
        except Usage:  # somebody's own, which is no longer installed
            continue
    return known


def _asked(store: Store, summary: Summary, known: Mapping[str, Driver]) -> Record:
    from machine.errors import MachineError
    from machine.workflow import power

    if summary.machine is None or not summary.complete:
        return record(summary, "unknown", None)
    try:
        state = power.state(store, summary.machine, known.get(summary.machine.driver))
    except MachineError:
        # One host that cannot be asked must not hide the others.
        state = "unknown"
    return record(summary, state, _running(summary.machine.name) if state == "running" else None)


def _running(name: str) -> int | None:
    """Running containers, None if its engine does not answer."""
    from machine.cli import target
    from machine.client.docker import DockerClient
    from machine.errors import MachineError

    try:
        with DockerClient(target.engine_socket(None, name)) as client:
            return len(client.containers.list())
    except (MachineError, OSError):
        return None


def record(summary: Summary, state: str, containers: int | None) -> Record:
    """The fields of `--format`; `Title` is the name with a star for the active machine."""
    shown = state
    if not summary.complete:
        shown = (
            "being removed" if summary.unfinished == "being removed" else f"half made ({summary.unfinished})"
        )
    machine = summary.machine
    return {
        "Title": f"* {summary.name}" if summary.active else summary.name,
        "Name": summary.name,
        "Active": summary.active,
        "Driver": summary.driver,
        "State": shown,
        "Address": machine.address if machine is not None and machine.address else "-",
        "Containers": "-" if containers is None else str(containers),
        **_costs(machine, state),
    }


def _costs(machine: Machine | None, state: str) -> Record:
    """Price per hour and what it has cost, in US dollars as reckoned here; how long it still lives."""
    from datetime import UTC, datetime

    costs = {"Hourly": "-", "Spent": "-", "Ends": "-"}
    if machine is None:
        return costs
    now = datetime.now(UTC)
    if machine.bill is not None:
        until = min(now, datetime.fromisoformat(machine.ends)) if machine.ends else now
        costs |= {"Hourly": machine.bill.hourly, "Spent": f"{machine.bill.total(until):.2f}"}
    if machine.ends and state != "absent":
        minutes = int((datetime.fromisoformat(machine.ends) - now).total_seconds() // 60)
        costs["Ends"] = "now" if minutes < 0 else f"in {minutes // 60}h {minutes % 60}m"
    return costs
