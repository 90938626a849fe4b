"""`pymachine volume create|ls|inspect|export|import|rm|prune`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from machine.cli import target
from machine.cli.each import each, inspect_each
from machine.cli.options import (
    FilterOption,
    FormatOption,
    InspectFormat,
    JsonOption,
    MachineOption,
    QuietOption,
    VolumeName,
    VolumeNames,
)
from machine.cli.output import Column, Record, print_list

if TYPE_CHECKING:
    from hostagent.wire import Volume

_What = "What"
_COLUMNS: Final = (Column("DRIVER", "Driver"), Column("VOLUME NAME", "Name"))


def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="[VOLUME]")] = "",
    machine: MachineOption = None,
    driver: Annotated[
        str, typer.Option("-d", "--driver", metavar="NAME", help="volume driver", rich_help_panel=_What)
    ] = "local",
    opt: Annotated[
        list[str] | None,
        typer.Option("-o", "--opt", metavar="KEY=VALUE", help="driver option", rich_help_panel=_What),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("-l", "--label", metavar="KEY[=VALUE]", help="label", rich_help_panel=_What),
    ] = None,
) -> None:
    """Create a volume, which keeps files when their container goes.

    pymachine volume create data
    pymachine volume create -o type=nfs -o device=:/export -o o=addr=192.0.2.1 shared
    """
    from hostagent.wire import VolumeCreate
    from machine.cli import values

    body = VolumeCreate(
        name=name, driver=driver, driver_opts=values.pairs(opt or ()), labels=values.pairs(label or ())
    )
    with target.engine(ctx, machine) as client:
        print(client.volumes.create(body).name)


def ls(
    ctx: typer.Context,
    machine: MachineOption = None,
    filter: FilterOption = None,
    quiet: QuietOption = False,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """List volumes.

    pymachine volume ls
    pymachine volume ls -q -f dangling=true
    """
    from machine.cli import values
    from machine.cli.console import print_warning

    with target.engine(ctx, machine) as client:
        found = client.volumes.list(values.filters(filter or ()))
    for warning in found.warnings or ():
        print_warning(warning)
    records = [_record(volume) for volume in sorted(found.volumes, key=lambda volume: volume.name)]
    print_list(records, _COLUMNS, key="Name", form=form, as_json=as_json, quiet=quiet)


def _record(volume: Volume) -> Record:
    return {
        "Driver": volume.driver,
        "Name": volume.name,
        "Scope": volume.scope,
        "Mountpoint": volume.mountpoint,
        "Labels": ",".join(f"{key}={value}" for key, value in (volume.labels or {}).items()),
    }


def inspect(
    ctx: typer.Context, volumes: VolumeNames, machine: MachineOption = None, form: InspectFormat = None
) -> None:
    """Show all that is known about volumes, as JSON.

    pymachine volume inspect data
    pymachine volume inspect -f '{{.Mountpoint}}' data
    """
    with target.engine(ctx, machine) as client:
        inspect_each(volumes, client.volumes.inspect_raw, form)


def export(
    ctx: typer.Context,
    volume: VolumeName,
    machine: MachineOption = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="archive to write, else stdout", rich_help_panel="Output"
        ),
    ] = None,
) -> None:
    """Save a volume to a tar archive, with owners, times and extended attributes.

    pymachine volume export -o data.tar data
    pymachine -m dev1 volume export data | pymachine -m dev2 volume import - data
    """
    from machine.cli.files import write_archive

    with target.engine(ctx, machine) as client:
        write_archive(output, lambda: client.volumes.export(volume))


def import_(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="FILE|-")],
    volume: VolumeName,
    machine: MachineOption = None,
) -> None:
    """Make a volume of a tar archive, or fill an empty one; prints its name.

    pymachine volume import data.tar data
    ssh old tar -C /srv/data -c . | pymachine volume import - data
    """
    from machine.cli.files import open_archive, pieces

    with open_archive(None if source == "-" else source) as file, target.engine(ctx, machine) as client:
        client.volumes.fill(volume, pieces(file))
    print(volume)


def remove(
    ctx: typer.Context,
    volumes: VolumeNames,
    machine: MachineOption = None,
    force: Annotated[
        bool, typer.Option("-f", "--force", help="no error for one that is not there", rich_help_panel=_What)
    ] = False,
) -> None:
    """Remove volumes and the files in them.

    pymachine volume rm data
    pymachine volume rm $(pymachine volume ls -q -f dangling=true)
    """
    with target.engine(ctx, machine) as client:

        def act(name: str) -> str:
            client.volumes.remove(name, force=force)
            return name

        each(volumes, act)


def prune(
    ctx: typer.Context,
    machine: MachineOption = None,
    everything: Annotated[
        bool, typer.Option("-a", "--all", help="also those that have a name", rich_help_panel=_What)
    ] = False,
    filter: FilterOption = None,
    yes: Annotated[
        bool, typer.Option("-f", "--force", "-y", "--yes", help="do not ask", rich_help_panel=_What)
    ] = False,
) -> None:
    """Remove volumes that no container has, after asking: anonymous ones only, unless --all.

    pymachine volume prune
    pymachine volume prune --all --filter label=temporary
    """
    from machine.cli import show, values
    from machine.cli.console import can_ask, confirm, note
    from machine.errors import Usage

    chosen = values.filters(filter or ())
    if everything:
        chosen["all"] = ["true"]
    if not yes:
        kind = "all" if everything else "all anonymous"
        text = f"This removes {kind} volumes that no container has, with the files in them."
        if not can_ask():
            raise Usage(f"{text}\nThere is no terminal to ask on.  To do it:  pymachine volume prune --yes")
        note(text)
        if not confirm("remove them?"):
            return
    with target.engine(ctx, machine) as client:
        done = client.volumes.prune(chosen)
    for name in done.volumes_deleted or ():
        print(name)
    note(f"Total reclaimed space: {show.size(done.space_reclaimed)}")
