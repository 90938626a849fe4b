"""`pymachine container top`."""

from __future__ import annotations

from typing import Annotated

import typer

from machine.cli.framework import passes_on
from machine.cli.options import MachineOption, RunningName


@passes_on
def top(
    ctx: typer.Context,
    container: RunningName,
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[PS OPTIONS]")] = None,
    machine: MachineOption = None,
) -> None:
    """Show the processes of a container.

    pymachine container top web
    pymachine container top web -o pid,rss,args
    """
    from machine.cli import target
    from machine.cli.output import print_table

    with target.engine(ctx, machine) as client:
        found = client.containers.top(container, " ".join(arguments) if arguments else None)
    print_table(found.titles, found.processes)
