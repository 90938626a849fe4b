"""`pymachine events`."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from machine.cli.options import FilterOption, FormatOption, JsonOption, MachineOption

if TYPE_CHECKING:
    from hostagent.wire import Event

_What = "What"


def events(
    ctx: typer.Context,
    machine: MachineOption = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="from then on: 10m, RFC 3339", rich_help_panel=_What),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="TIME", help="until then: 10m, RFC 3339", rich_help_panel=_What),
    ] = None,
    filter: FilterOption = None,
    form: FormatOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what happens on the machine, as it happens.

    pymachine events -f container=web
    pymachine events --since 10m --until 0s --json
    """
    from machine.cli import target, values
    from machine.cli.output import unescaped
    from machine.cli.template import Template
    from machine.errors import Usage

    if form is not None and as_json:
        raise Usage("--format and --json exclude each other: take one of them")
    template = Template(unescaped(form)) if form not in (None, "json") and form is not None else None
    now = time.time()
    begin = values.moment(since, now) if since else None
    end = values.moment(until, now) if until else None
    with target.engine(ctx, machine) as client:
        for event in client.events(begin, end, values.filters(filter or ())):
            if template is not None:
                print(template.fill(fields(event)), flush=True)
            elif as_json or form == "json":
                print(json.dumps(fields(event), ensure_ascii=False), flush=True)
            else:
                print(line(event), flush=True)


def fields(event: Event) -> dict[str, object]:
    """Docker's names of what an event has."""
    return {
        "Type": event.type,
        "Action": event.action,
        "Actor": {"ID": event.actor.id, "Attributes": dict(event.actor.attributes)},
        "scope": event.scope,
        "time": event.time,
        "timeNano": event.time_nano,
    }


def line(event: Event) -> str:
    """`2026-01-31T12:00:00.123456789+00:00 container start 9f2c… (image=busybox, name=web)`, as docker."""
    seconds, nanoseconds = divmod(event.time_nano, 10**9)
    moment = datetime.fromtimestamp(seconds).astimezone()
    zone = moment.strftime("%z")
    stamp = f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}{zone[:3]}:{zone[3:]}"
    attributes = ", ".join(f"{key}={value}" for key, value in sorted(event.actor.attributes.items()))
    words = [stamp, event.type, event.action, event.actor.id]
    return " ".join(words) + (f" ({attributes})" if attributes else "")
