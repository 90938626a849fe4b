"""`pymachine start` and `stop`."""

from __future__ import annotations

from typing import Annotated

import typer

from machine.cli.each import each
from machine.cli.framework import settings_of
from machine.cli.options import MachineNames, VerboseOption


def start(
    ctx: typer.Context,
    machines: MachineNames,
    yes: Annotated[
        bool,
        typer.Option(
            "-y",
            "--yes",
            help="if you come from another address now, open port 22 to it",
            rich_help_panel="What",
        ),
    ] = False,
    verbose: VerboseOption = False,
) -> None:
    """Start machines; ready when this returns.

    pymachine start dev1
    pymachine start dev1 dev2
    """
    from machine.cli import lookup
    from machine.cli.console import ask
    from machine.cli.step_progress import StepLines
    from machine.store.store import Store
    from machine.workflow import power

    store = Store()

    def act(name: str) -> str:
        lookup.check(store, name, verb="start")
        lines = StepLines(verbose=verbose or settings_of(ctx).verbose)
        power.start(store, name, lines, ask=lambda question: yes or ask(question))
        return name

    each(machines, act)


def stop(
    ctx: typer.Context,
    machines: MachineNames,
    time: Annotated[
        float,
        typer.Option(
            "-t",
            "--time",
            metavar="SECONDS",
            help="for containers to end by themselves",
            rich_help_panel="What",
        ),
    ] = 30.0,
    verbose: VerboseOption = False,
) -> None:
    """Stop machines; images and stopped containers stay on them.

    pymachine stop dev1
    pymachine stop -t 120 dev1 dev2
    """
    from machine.cli import lookup
    from machine.cli.step_progress import StepLines
    from machine.store.store import Store
    from machine.workflow import power

    store = Store()

    def act(name: str) -> str:
        lookup.check(store, name, verb="stop")
        power.stop(store, name, StepLines(verbose=verbose or settings_of(ctx).verbose), patience=time)
        return name

    each(machines, act)
