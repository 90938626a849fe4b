"""`pymachine gc` and `adopt`: what a cloud account knows of our machines, with or without local state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from machine.cli.machine_create import driver_names

if TYPE_CHECKING:
    from machine.drivers.account import Found

Driver = Annotated[str, typer.Argument(metavar="DRIVER", autocompletion=driver_names)]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--option",
        metavar="KEY=VALUE",
        help="an option of the driver, as in create: profile, region",
        rich_help_panel="Where",
    ),
]
Region = Annotated[
    str | None,
    typer.Option("--region", metavar="REGION", help="look only there", rich_help_panel="Where"),
]


def gc(
    driver: Driver,
    option: Options = None,
    region: Region = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            metavar="DURATION",
            help="of half-made ones that this laptop does not know, default 1h: somebody may be making them",
            rich_help_panel="What",
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("-y", "--yes", help="do not ask (for scripts)", rich_help_panel="What")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only list", rich_help_panel="What")] = False,
) -> None:
    """Remove what creates and removals that never ended have left in an account. Whole machines stay.

    pymachine gc aws
    pymachine gc aws --region eu-central-1 --older-than 0s --yes
    """
    from machine.cli import values
    from machine.cli.console import can_ask, confirm, note
    from machine.errors import Usage
    from machine.store.store import Store
    from machine.workflow import collect

    store, options = Store(), _options(option, region)
    grace = collect.GRACE if older_than is None else values.nanoseconds(older_than) / 1e9
    found = collect.survey(store, driver, options, note, grace=grace)
    for thing in found.unknown:
        note(
            f"not known here, and whole: {line(thing)}.  Take it over:  pymachine adopt {driver} {thing.name}"
        )
    for thing in found.young:
        note(f"perhaps being made right now: {line(thing)}.  If not:  pymachine gc {driver} --older-than 0s")
    if not found.orphans:
        note("nothing is left over")
        return
    for thing in found.orphans:
        note(f"left over: {line(thing)}")
    if dry_run:
        return
    if not yes:
        if not can_ask():
            raise Usage(f"there is no terminal to ask on.  To remove that:  pymachine gc {driver} --yes")
        if not confirm("remove that?"):
            return
    collect.collect(store, driver, options, found.orphans, lambda text: None, lambda thing: print(thing.id))


def adopt(
    driver: Driver,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...")] = None,
    option: Options = None,
    region: Region = None,
) -> None:
    """Take over machines that are in an account, made by others or by a laptop that is gone; no name: all of them.

    pymachine adopt aws
    pymachine adopt aws web-1 --region eu-central-1
    """
    from machine.cli.console import note
    from machine.cli.each import each
    from machine.cli.step_progress import StepLines
    from machine.store.store import Store
    from machine.workflow import adopt as workflow

    store = Store()
    found = workflow.adoptable(store, driver, _options(option, region), note)
    chosen = {thing.name: thing for thing in workflow.choose(found, names or [], driver)}
    if not chosen:
        note("there is none that this laptop does not know")

    def act(name: str) -> str:
        workflow.adopt(store, driver, chosen[name], StepLines())
        return name

    each(chosen, act)


def line(thing: Found) -> str:
    """`machine dev1 (i-0123, eu-central-1), half made, 12 minutes old, by user/anna`"""
    name = f" {thing.name}" if thing.kind == "machine" and thing.name else ""
    words = [f"{thing.kind}{name} ({thing.id}, {thing.place})"]
    if thing.kind == "machine":
        words += [thing.condition, f"{thing.age / 60:.0f} minutes old"]
    return ", ".join([*words, *([f"by {thing.by}"] if thing.by else [])])


def _options(option: list[str] | None, region: str | None) -> dict[str, str]:
    from machine.cli import values

    return values.pairs(option or ()) | ({} if region is None else {"region": region})
