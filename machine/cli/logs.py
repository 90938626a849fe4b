"""`pymachine logs`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from machine.cli.options import ContainerName, MachineOption

_What = "What"
_Output = "Output"


def logs(
    ctx: typer.Context,
    container: ContainerName,
    machine: MachineOption = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="go on until the container ends", rich_help_panel=_What)
    ] = False,
    tail: Annotated[
        str, typer.Option("-n", "--tail", metavar="LINES", help="only the last lines", rich_help_panel=_What)
    ] = "all",
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="from then on: 10m, RFC 3339", rich_help_panel=_What),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="TIME", help="until then: 10m, RFC 3339", rich_help_panel=_What),
    ] = None,
    timestamps: Annotated[
        bool, typer.Option("-t", "--timestamps", help="say when each line came", rich_help_panel=_Output)
    ] = False,
) -> None:
    """Show what a container has written.

    pymachine logs -f web
    pymachine logs --since 10m --tail 100 web
    """
    from machine.cli import session, target, values

    now = time.time()
    begin = values.moment(since, now) if since else None
    end = values.moment(until, now) if until else None
    with target.engine(ctx, machine) as client:
        stream = client.containers.logs(
            container, follow=follow, since=begin, until=end, tail=tail, timestamps=timestamps
        )
        with stream:
            for channel, data in stream:
                session.write_all(2 if channel == 2 else 1, data)
