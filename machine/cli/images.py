"""`pymachine images`, `image inspect|history|tag|rm`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from machine.cli import target
from machine.cli.each import each, inspect_each
from machine.cli.options import (
    FilterOption,
    FormatOption,
    ImageName,
    ImageNames,
    InspectFormat,
    JsonOption,
    MachineOption,
    NoTruncOption,
    QuietOption,
)
from machine.cli.output import Column, Record, print_list

if TYPE_CHECKING:
    from hostagent.wire import ImageSummary

_What = "What"
_COLUMNS: Final = (
    Column("REPOSITORY", "Repository"),
    Column("TAG", "Tag"),
    Column("IMAGE ID", "ID"),
    Column("CREATED", "CreatedSince"),
    Column("SIZE", "Size"),
)
_WITH_DIGEST: Final = (*_COLUMNS[:2], Column("DIGEST", "Digest"), *_COLUMNS[2:])
_HISTORY: Final = (
    Column("IMAGE", "ID"),
    Column("CREATED", "CreatedSince"),
    Column("CREATED BY", "CreatedBy"),
    Column("SIZE", "Size"),
    Column("COMMENT", "Comment"),
)
_NONE: Final = "<none>"


def ls(
    ctx: typer.Context,
    repository: Annotated[str | None, typer.Argument(metavar="[REPOSITORY[:TAG]]")] = None,
    machine: MachineOption = None,
    everything: Annotated[
        bool, typer.Option("-a", "--all", help="unnamed parents too", rich_help_panel=_What)
    ] = False,
    filter: FilterOption = None,
    digests: Annotated[
        bool, typer.Option("--digests", help="show digests", rich_help_panel="Output")
    ] = False,
    no_trunc: NoTruncOption = False,
    quiet: QuietOption = False,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """List images.

    pymachine images
    pymachine images --format '{{.Repository}}:{{.Tag}} {{.Size}}'
    """
    from machine.cli import values

    chosen = values.filters(filter or ())
    if repository:
        chosen.setdefault("reference", []).append(repository)
    with target.engine(ctx, machine) as client:
        found = client.images.list(all=everything, chosen=chosen)
    now = time.time()
    by_digest = digests or "Digest" in (form or "")
    records = [
        row for image in found for row in _records(image, now, shorten=not no_trunc, digests=by_digest)
    ]
    if quiet:
        # An image with two names is one ID; docker prints it once per name only in the table.
        records = list({str(record["ID"]): record for record in records}.values())
    columns = _WITH_DIGEST if digests else _COLUMNS
    print_list(
        records,
        columns,
        key="ID",
        form=form,
        as_json=as_json,
        quiet=quiet,
        titles={"CreatedAt": "CREATED AT"},
    )


def _records(image: ImageSummary, now: float, *, shorten: bool, digests: bool) -> Iterator[Record]:
    from machine.cli import show

    digest_of = dict(name.split("@", 1) for name in image.repo_digests or () if "@" in name)
    names = [tag.rpartition(":")[::2] for tag in image.repo_tags or () if tag != "<none>:<none>"]
    for repository, digest in digest_of.items():
        if (digests and repository not in {name for name, _ in names}) or (not image.repo_tags and digest):
            names.append((repository, _NONE))
    for repository, tag in dict.fromkeys(names) or [(_NONE, _NONE)]:
        yield {
            "Repository": repository,
            "Tag": tag,
            "Digest": digest_of.get(repository, _NONE),
            "ID": show.short_id(image.id) if shorten else image.id,
            "CreatedSince": show.ago(image.created, now),
            "CreatedAt": show.local_time(image.created),
            "Size": show.size(image.size),
            "Containers": "N/A" if image.containers < 0 else str(image.containers),
            "SharedSize": "N/A" if image.shared_size < 0 else show.size(image.shared_size),
            "UniqueSize": "N/A",
        }


def inspect(
    ctx: typer.Context, images: ImageNames, machine: MachineOption = None, form: InspectFormat = None
) -> None:
    """Show all that is known about images, as JSON.

    pymachine image inspect debian
    pymachine image inspect -f '{{.Config.Cmd}}' debian
    """
    with target.engine(ctx, machine) as client:
        inspect_each(images, client.images.inspect_raw, form)


def history(
    ctx: typer.Context,
    image: ImageName,
    machine: MachineOption = None,
    no_trunc: NoTruncOption = False,
    quiet: QuietOption = False,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how an image was made, newest layer first.

    pymachine image history debian
    pymachine image history --no-trunc --format '{{.CreatedBy}}' debian
    """
    from machine.cli import show

    with target.engine(ctx, machine) as client:
        found = client.images.history(image)
    now = time.time()
    records = [
        {
            "ID": item.id if no_trunc else show.short_id(item.id),
            "CreatedSince": show.ago(item.created, now),
            "CreatedAt": show.local_time(item.created),
            "CreatedBy": item.created_by if no_trunc else _shortened(item.created_by, 45),
            "Size": show.size(item.size),
            "Comment": item.comment,
        }
        for item in found
    ]
    print_list(records, _HISTORY, key="ID", form=form, as_json=as_json, quiet=quiet)


def _shortened(text: str, length: int) -> str:
    text = text.replace("\t", " ")
    return text if len(text) <= length else text[: length - 1] + "…"


def tag(
    ctx: typer.Context,
    image: ImageName,
    name: Annotated[str, typer.Argument(metavar="NAME[:TAG]")],
    machine: MachineOption = None,
) -> None:
    """Give an image another name.

    pymachine tag app:latest registry.example.com/app:1.2
    pymachine tag 9f2c1d40a7be app
    """
    with target.engine(ctx, machine) as client:
        client.images.tag(image, name)


def remove(
    ctx: typer.Context,
    images: ImageNames,
    machine: MachineOption = None,
    force: Annotated[
        bool, typer.Option("-f", "--force", help="though stopped containers use it", rich_help_panel=_What)
    ] = False,
    no_prune: Annotated[
        bool, typer.Option("--no-prune", help="keep unnamed parents", rich_help_panel=_What)
    ] = False,
) -> None:
    """Remove images.

    pymachine rmi debian:11
    pymachine rmi $(pymachine images -q -f dangling=true)
    """
    with target.engine(ctx, machine) as client:

        def act(name: str) -> str | None:
            gone = client.images.remove(name, force=force, noprune=no_prune)
            lines = [
                f"Untagged: {one.untagged}" if one.untagged else f"Deleted: {one.deleted}" for one in gone
            ]
            return "\n".join(lines) or None

        each(images, act)
