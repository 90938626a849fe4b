"""`pymachine up`: a machine for one compose project, for as long as the command runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from machine.cli.compose import environment_of, find
from machine.cli.ending import Ended
from machine.cli.framework import passes_on, settings_of
from machine.cli.machine_create import approved, make_one


@passes_on
def up(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    words: Annotated[list[str] | None, typer.Argument(metavar="[UP OPTION|SERVICE]...")] = None,
    file: Annotated[
        list[str] | None,
        typer.Option("-f", "--file", metavar="FILE", help="compose file", rich_help_panel="What"),
    ] = None,
    driver: Annotated[
        str, typer.Option("-d", "--driver", metavar="DRIVER", help="what makes it", rich_help_panel="Where")
    ] = "local",
    option: Annotated[
        list[str] | None,
        typer.Option(
            "-o", "--option", metavar="KEY=VALUE", help="an option of the driver", rich_help_panel="Where"
        ),
    ] = None,
    ttl: Annotated[
        str | None,
        typer.Option(
            "--ttl", metavar="DURATION", help="end it after so long (4h, 90m)", rich_help_panel="Limits"
        ),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option("-y", "--yes", help="agree to the price (for scripts)", rich_help_panel="Limits"),
    ] = False,
) -> None:
    """Make a machine, run `compose up` on it, and remove the machine at the end; exits with Compose's code.

    pymachine up --ttl 4h -f compose.yml demo
    pymachine up -d aws -o region=eu-central-1 -f ci.yml ci --exit-code-from tests
    """
    from machine.cli import values
    from machine.cli.console import note
    from machine.cli.step_progress import StepLines
    from machine.errors import Conflict
    from machine.store.store import Store
    from machine.workflow.order import agree
    from machine.workflow.remove import remove

    store, program = Store(), find(os.environ)
    if store.exists(name):
        raise Conflict(
            f"a machine {name} is there already, and `up` removes its own at the end: choose another name, or\n"
            f"pymachine -m {name} compose up"
        )
    seconds = None if ttl is None else values.nanoseconds(ttl) / 1e9
    agreed = agree(
        store,
        driver,
        [name],
        values.pairs(option or ()),
        # A cloud's machine then ends by itself too, with this laptop or without.
        ttl=(ttl, seconds) if ttl is not None and seconds is not None and driver != "local" else None,
        approve=lambda offer: approved(offer, yes=yes, dry_run=False),
    )
    verbose = settings_of(ctx).verbose
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)  # by unwinding: the machine goes
    try:
        make_one(store, agreed, name, verbose, quiet=False, keep=False)
        files = [word for path in file or () for word in ("-f", path)]
        code = _compose(program, name, [*files, "up", *(words or ())], seconds)
    finally:
        if store.exists(name):
            note(f"removing {name}")
            remove(store, name, StepLines(verbose=verbose))
    raise typer.Exit(code)


def _compose(program: str, name: str, words: Sequence[str], seconds: float | None) -> int:
    """Exit code of Compose, which gets Ctrl-C from the terminal itself, and from us after `seconds`."""
    from machine.cli import target
    from machine.cli.console import note

    environment = environment_of(target.engine_socket(None, name), name)
    sys.stdout.flush()
    # A handler, not SIG_IGN, which Compose would inherit.
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    process = subprocess.Popen(["docker-compose", *words], executable=program, env=environment)
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        note("its time is over")
        process.send_signal(signal.SIGINT)
        code = process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code


def _end(number: int, frame: object) -> None:
    raise Ended(number)
