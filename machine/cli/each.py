"""One verb on several names: all are tried, those that worked are printed, what failed is told, exit 1."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import typer

from machine.cli.console import print_error
from machine.errors import MachineError, Unavailable


def each(names: Iterable[str], act: Callable[[str], str | None]) -> None:
    """`act` returns what to print, or None. Without the engine (Unavailable) the rest is not tried."""
    failed = False
    for name in names:
        try:
            said = act(name)
        except Unavailable:
            raise
        except MachineError as error:
            print_error(str(error))
            failed = True
        else:
            if said is not None:
                print(said, flush=True)
    if failed:
        raise typer.Exit(1)


def inspect_each(names: Iterable[str], fetch: Callable[[str], str | bytes], form: str | None) -> None:
    """`fetch` returns a thing's JSON. Those that were found are printed, also when others were not."""
    import json

    from machine.cli.output import print_inspection

    found: list[object] = []

    def act(name: str) -> None:
        found.append(json.loads(fetch(name)))

    try:
        each(names, act)
    finally:
        print_inspection(found, form)
