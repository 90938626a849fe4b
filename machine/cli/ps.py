"""`pymachine ps`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from machine.cli.options import (
    FilterOption,
    FormatOption,
    JsonOption,
    MachineOption,
    NoTruncOption,
    QuietOption,
)
from machine.cli.output import Column, Record, print_list

if TYPE_CHECKING:
    from hostagent.wire import ContainerSummary, Port

_COLUMNS: Final = (
    Column("CONTAINER ID", "ID"),
    Column("IMAGE", "Image"),
    Column("COMMAND", "Command"),
    Column("CREATED", "RunningFor"),
    Column("STATUS", "Status"),
    Column("PORTS", "Ports"),
    Column("NAMES", "Names"),
)
_TITLES: Final = {"CreatedAt": "CREATED AT", "LocalVolumes": "LOCAL VOLUMES", "Size": "SIZE"}


def ps(
    ctx: typer.Context,
    machine: MachineOption = None,
    everything: Annotated[
        bool, typer.Option("-a", "--all", help="stopped ones too", rich_help_panel="What")
    ] = False,
    filter: FilterOption = None,
    last: Annotated[
        int | None,
        typer.Option("-n", "--last", metavar="NUMBER", help="the last ones made", rich_help_panel="What"),
    ] = None,
    latest: Annotated[
        bool, typer.Option("-l", "--latest", help="the last one made", rich_help_panel="What")
    ] = False,
    size: Annotated[
        bool, typer.Option("-s", "--size", help="how much they take on disk", rich_help_panel="Output")
    ] = False,
    no_trunc: NoTruncOption = False,
    quiet: QuietOption = False,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """List containers.

    pymachine ps -a
    pymachine ps --format '{{.Names}}: {{.Status}}'
    """
    from machine.cli import target, values

    limit = 1 if latest else last
    chosen = values.filters(filter or ())
    with target.engine(ctx, machine) as client:
        found = client.containers.list(
            all=everything or limit is not None,
            limit=limit,
            size=size or "Size" in (form or ""),
            chosen=chosen,
        )
    now = time.time()
    records = [record(container, now, shorten=not no_trunc) for container in found]
    columns = (*_COLUMNS, Column("SIZE", "Size")) if size else _COLUMNS
    print_list(records, columns, key="ID", form=form, as_json=as_json, quiet=quiet, titles=_TITLES)


def record(container: ContainerSummary, now: float, *, shorten: bool) -> Record:
    """The fields of docker's `ps --format`."""
    from machine.cli import show

    command = container.command
    if shorten and len(command) > 20:
        command = command[:19] + "…"
    names = [name.lstrip("/") for name in container.names]
    # Names with a further slash are links' names for it, which are not its own.
    names = [name for name in names if "/" not in name] if shorten else names
    image = container.image or "<no image>"
    return {
        "ID": show.short_id(container.id) if shorten else container.id,
        "Image": show.short_id(image) if shorten and image.startswith("sha256:") else image,
        "Command": json.dumps(command, ensure_ascii=False),
        "RunningFor": show.ago(container.created, now),
        "CreatedAt": show.local_time(container.created),
        "Status": container.status,
        "State": container.state,
        "Ports": ports(container.ports),
        "Names": ",".join(names),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(container.labels.items())),
        "Mounts": ",".join(mount.name or mount.source for mount in container.mounts),
        "LocalVolumes": str(sum(mount.driver == "local" for mount in container.mounts)),
        "Networks": ",".join(sorted(container.network_settings.networks)),
        "Size": f"{show.size(container.size_rw)} (virtual {show.size(container.size_root_fs)})",
    }


def ports(found: list[Port]) -> str:
    """`0.0.0.0:8080->80/tcp, 443/tcp`; neighbours are drawn together: `0.0.0.0:90-91->90-91/udp`."""
    groups: list[list[Port]] = []
    for port in sorted(found, key=lambda p: (p.ip, p.type, p.private_port, p.public_port)):
        if groups and _follows(groups[-1][-1], port):
            groups[-1].append(port)
        elif not groups or groups[-1][-1] != port:
            groups.append([port])
    published = [_shown(group) for group in groups if group[0].public_port]
    return ", ".join([*published, *(_shown(group) for group in groups if not group[0].public_port)])


def _follows(one: Port, other: Port) -> bool:
    public = other.public_port == one.public_port + 1 if one.public_port else not other.public_port
    return (one.ip, one.type, one.private_port + 1) == (other.ip, other.type, other.private_port) and public


def _shown(group: list[Port]) -> str:
    first, last = group[0], group[-1]
    inside = _span(first.private_port, last.private_port)
    if not first.public_port:
        return f"{inside}/{first.type}"
    address = f"[{first.ip}]" if ":" in first.ip else first.ip
    return f"{address}:{_span(first.public_port, last.public_port)}->{inside}/{first.type}"


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
