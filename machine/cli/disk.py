"""`pymachine system df`, `container prune` and `builder prune`: what takes disk, and giving it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from machine.cli import target
from machine.cli.options import FilterOption, FormatOption, JsonOption, MachineOption
from machine.cli.output import Column, Record, print_list

if TYPE_CHECKING:
    from hostagent.wire import DiskUsage

_What = "What"
_COLUMNS: Final = (
    Column("TYPE", "Type"),
    Column("TOTAL", "TotalCount"),
    Column("ACTIVE", "Active"),
    Column("SIZE", "Size"),
    Column("RECLAIMABLE", "Reclaimable"),
)
_Force = Annotated[bool, typer.Option("-f", "--force", help="do not ask", rich_help_panel=_What)]


def df(
    ctx: typer.Context,
    machine: MachineOption = None,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what images, containers, volumes and the build cache take on the machine's disk.

    pymachine system df
    pymachine system df --format '{{.Type}}: {{.Size}}'
    """
    with target.engine(ctx, machine) as client:
        found = client.disk_usage()
    print_list(records(found), _COLUMNS, key="Type", form=form, as_json=as_json)


def records(found: DiskUsage) -> list[Record]:
    """A line for each kind of thing, as docker counts: active is in use, reclaimable is what a prune frees."""
    images, containers = found.images or [], found.containers or []
    volumes, cache = found.volumes or [], found.build_cache or []
    used_images = [image for image in images if image.containers > 0]
    shared = sum(image.size - image.shared_size for image in used_images if image.shared_size >= 0)
    running = [each for each in containers if each.state in ("running", "paused", "restarting")]
    sizes = {volume.name: volume.usage_data.size if volume.usage_data else 0 for volume in volumes}
    used_volumes = [volume for volume in volumes if volume.usage_data and volume.usage_data.ref_count > 0]
    own_cache = [each for each in cache if not each.shared]
    return [
        _record("Images", len(images), len(used_images), found.layers_size, found.layers_size - shared),
        _record(
            "Containers",
            len(containers),
            len(running),
            sum(each.size_rw for each in containers),
            sum(each.size_rw for each in containers if each not in running),
        ),
        _record(
            "Local Volumes",
            len(volumes),
            len(used_volumes),
            sum(sizes.values()),
            sum(size for name, size in sizes.items() if name not in {each.name for each in used_volumes}),
        ),
        _record(
            "Build Cache",
            len(cache),
            sum(each.in_use for each in cache),
            sum(each.size for each in own_cache),
            sum(each.size for each in own_cache if not each.in_use),
        ),
    ]


def _record(kind: str, total: int, active: int, size: int, reclaimable: int) -> Record:
    from machine.cli import show

    free = max(0, reclaimable)
    part = f" ({100 * free // size}%)" if size > 0 else ""
    return {
        "Type": kind,
        "TotalCount": str(total),
        "Active": str(active),
        "Size": show.size(size),
        "Reclaimable": f"{show.size(free)}{part}",
    }


def prune_containers(
    ctx: typer.Context,
    machine: MachineOption = None,
    filter: FilterOption = None,
    force: _Force = False,
) -> None:
    """Remove all containers that do not run.

    pymachine container prune
    pymachine container prune -f --filter until=24h
    """
    from machine.cli import values

    chosen = values.filters(filter or ())
    _agree(f"Remove all stopped containers on {target.machine_name(ctx, machine)}?", force)
    with target.engine(ctx, machine) as client:
        found = client.containers.prune(chosen)
    _print(found.containers_deleted or [], found.space_reclaimed)


def prune_images(
    ctx: typer.Context,
    machine: MachineOption = None,
    everything: Annotated[
        bool, typer.Option("-a", "--all", help="also those that have a name", rich_help_panel=_What)
    ] = False,
    filter: FilterOption = None,
    force: _Force = False,
) -> None:
    """Remove images without a name, or, with --all, all that no container has.

    pymachine image prune
    pymachine image prune -a -f --filter until=240h
    """
    from machine.cli import values

    chosen = values.filters(filter or ())
    if everything:
        chosen["dangling"] = ["false"]
    kind = "all images that no container has" if everything else "images without a name"
    _agree(f"Remove {kind} on {target.machine_name(ctx, machine)}?", force)
    with target.engine(ctx, machine) as client:
        found = client.images.prune(chosen)
    lines = [
        f"untagged: {one.untagged}" if one.untagged else f"deleted: {one.deleted}"
        for one in found.images_deleted or ()
    ]
    _print(lines, found.space_reclaimed)


def prune_builds(
    ctx: typer.Context,
    machine: MachineOption = None,
    everything: Annotated[
        bool, typer.Option("-a", "--all", help="also what images have too", rich_help_panel=_What)
    ] = False,
    keep: Annotated[
        str,
        typer.Option(
            "--keep-storage", metavar="SIZE", help="leave what was used last", rich_help_panel=_What
        ),
    ] = "",
    filter: FilterOption = None,
    force: _Force = False,
) -> None:
    """Remove what builds have kept for later builds.

    pymachine builder prune
    pymachine builder prune -f --keep-storage 5g
    """
    from machine.cli import values

    chosen = values.filters(filter or ())
    size = values.size(keep) if keep else 0
    _agree(f"Remove the build cache on {target.machine_name(ctx, machine)}?", force)
    with target.engine(ctx, machine) as client:
        found = client.prune_builds(everything, size, chosen)
    _print(found.caches_deleted or [], found.space_reclaimed)


def _agree(question: str, force: bool) -> None:
    """Ends the command unless somebody wants it."""
    from machine.cli.console import can_ask, confirm
    from machine.errors import Usage

    if force:
        return
    if not can_ask():
        raise Usage("there is nobody to ask: give -f if you are sure")
    if not confirm(question):
        raise typer.Exit(1)


def _print(removed: list[str], reclaimed: int) -> None:
    from machine.cli import show
    from machine.cli.console import note

    for name in removed:
        print(name)
    note(f"freed {show.size(reclaimed)}")
