"""`pymachine create`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from machine.cli.framework import settings_of
from machine.cli.options import VerboseOption

if TYPE_CHECKING:
    from machine.store.store import Store
    from machine.workflow.order import Agreed, Offer

_AT_ONCE: Final = 10
_MOST: Final = 100


def driver_names(incomplete: str) -> list[str]:
    from machine.drivers.base import DRIVERS

    return [name for name in DRIVERS if name.startswith(incomplete)]


def create(
    ctx: typer.Context,
    driver: Annotated[str, typer.Argument(metavar="DRIVER", autocompletion=driver_names)],
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "-o",
            "--option",
            metavar="KEY=VALUE",
            help="an option of the driver; `-o help` lists them",
            rich_help_panel="What",
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            "-n", "--count", metavar="N", help="so many; {} in NAME becomes 1 to N", rich_help_panel="What"
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option("--region", metavar="REGION", help="of clouds: where", rich_help_panel="Where"),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--type", metavar="TYPE", help="of clouds: how large a host", rich_help_panel="What"),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            metavar="[USER@]ADDRESS[:PORT]",
            help="of the ssh driver: the host, or its name in ~/.ssh/config",
            rich_help_panel="What",
        ),
    ] = None,
    identity_file: Annotated[
        str | None,
        typer.Option(
            "-i",
            "--identity-file",
            metavar="FILE",
            help="of the ssh driver: the private key, if not one of the agent or ~/.ssh",
            rich_help_panel="What",
        ),
    ] = None,
    accept_host_key: Annotated[
        str | None,
        typer.Option(
            "--accept-host-key",
            metavar="SHA256:...",
            help="of the ssh driver: the host key to trust, if known_hosts has none",
            rich_help_panel="What",
        ),
    ] = None,
    authorize: Annotated[
        list[str] | None,
        typer.Option(
            "--authorize",
            metavar="FILE",
            help="public keys that may log in too (of clouds, default: yours in ~/.ssh and the agent)",
            rich_help_panel="What",
        ),
    ] = None,
    registry_mirror: Annotated[
        list[str] | None,
        typer.Option(
            "--registry-mirror",
            metavar="URL",
            help="a registry to try before Docker Hub",
            rich_help_panel="What",
        ),
    ] = None,
    insecure_registry: Annotated[
        list[str] | None,
        typer.Option(
            "--insecure-registry",
            metavar="HOST[:PORT]",
            help="a registry without TLS, or with a certificate that nobody signed",
            rich_help_panel="What",
        ),
    ] = None,
    ttl: Annotated[
        str | None,
        typer.Option(
            "--ttl",
            metavar="DURATION",
            help="of clouds: remove itself after so long (8h, 90m), with this laptop or without",
            rich_help_panel="Limits",
        ),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option("-y", "--yes", help="agree to the price (for scripts)", rich_help_panel="Limits"),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="check all, say what it would make and cost, make nothing",
            rich_help_panel="Limits",
        ),
    ] = False,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="of clouds: leave what was made when it fails, to look at it",
            rich_help_panel="Limits",
        ),
    ] = False,
    verbose: VerboseOption = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="no progress", rich_help_panel="Output")
    ] = False,
) -> None:
    """Create a machine and put the engine on it; run it again to go on after a failure.

    pymachine create ssh vm1 --host admin@192.0.2.7
    pymachine create aws -n 3 web-{} --type t4g.small -o spot=true
    """
    from machine.cli import values
    from machine.cli.console import ask, note
    from machine.errors import Usage
    from machine.model.registries import Registries
    from machine.store.store import Store
    from machine.workflow.order import agree

    store = Store()
    if option and "help" in option:
        _list_options(store, driver)
        return
    options = values.pairs(option or ())
    given = {
        "host": host,
        "identity-file": identity_file and str(Path(identity_file).expanduser().absolute()),
        "accept-host-key": accept_host_key,
        "region": region,
        "type": kind,
    }
    options |= {key: value for key, value in given.items() if value is not None}
    names = _counted(names or [], count)
    if "host" in options and len(names) > 1:
        raise Usage(f"{options['host']} is one host: give it one name, not {', '.join(names)}")
    agreed = agree(
        store,
        driver,
        names,
        options,
        registries=Registries.checked(registry_mirror or (), insecure_registry or ()),
        ttl=None if ttl is None else (ttl, values.nanoseconds(ttl) / 1e9),
        keys=None if authorize is None else values.lines(authorize),
        ask=lambda question: (yes and driver != "ssh") or ask(question),
        approve=lambda offer: approved(offer, yes=yes, dry_run=dry_run),
    )
    if dry_run:
        _rehearse(store, agreed)
        note("nothing was made")
        return
    verbosity = int(verbose or settings_of(ctx).verbose)
    if len(names) > 1 and agreed.driver.account is not None:
        _make_at_once(store, agreed, verbosity, quiet=quiet, keep=keep)
        return
    for name in names:
        make_one(store, agreed, name, verbosity, quiet=quiet, keep=keep)


def make_one(
    store: Store, agreed: Agreed, name: str, verbose: int, *, quiet: bool, keep: bool, among: str = ""
) -> None:
    from machine.cli.console import note
    from machine.cli.step_progress import StepLines
    from machine.workflow.create import make

    began = time.monotonic()
    try:
        make(store, agreed, name, StepLines(verbose=verbose, quiet=quiet, machine=among), keep=keep)
    except BaseException:
        _say_what_remains(store, agreed.request.driver, name)
        raise
    if not quiet:
        more = f'     or:  eval "$(pymachine env {name})"; docker ps' if not among else ""
        note(
            f"{name} is ready ({time.monotonic() - began:.1f} s).  Try:  {_first_command(store, name)}{more}"
        )


def _make_at_once(store: Store, agreed: Agreed, verbose: int, *, quiet: bool, keep: bool) -> None:
    """All are tried, what failed is told, exit 1. What they share is made once, under the driver's lock."""
    from concurrent.futures import ThreadPoolExecutor, as_completed

    from machine.cli.console import note, print_error
    from machine.errors import MachineError

    width = max(map(len, agreed.names))
    failed = 0
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        jobs = {
            pool.submit(
                make_one, store, agreed, name, verbose, quiet=quiet, keep=keep, among=name.ljust(width)
            ): name
            for name in agreed.names
        }
        try:
            for job in as_completed(jobs):
                try:
                    job.result()
                except MachineError as error:
                    failed += 1
                    print_error(f"{jobs[job]}: {error}")
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            note("those that are being made are finished; no more are begun")
            raise
    if failed:
        raise typer.Exit(1)


def _counted(names: list[str], count: int | None) -> list[str]:
    from machine.errors import Usage

    if not names:
        raise Usage("which name? Say it:  pymachine create DRIVER NAME     (a driver's options:  -o help)")
    if count is None:
        return names
    if len(names) != 1 or "{}" not in names[0]:
        raise Usage("with -n give one name with {} in it:  pymachine create aws -n 3 web-{}")
    if not 1 <= count <= _MOST:
        raise Usage(f"-n takes a number from 1 to {_MOST}")
    return [names[0].replace("{}", str(number)) for number in range(1, count + 1)]


def approved(offer: Offer, *, yes: bool, dry_run: bool) -> bool:
    """Shows what will be made and what it costs, and asks. Usage: nobody is there to answer."""
    from machine.cli.console import can_ask, confirm, note
    from machine.errors import Usage

    note(price_line(offer))
    if offer.quote.note:
        note(f"  {offer.quote.note}")
    if yes or dry_run:
        return True
    if not can_ask():
        raise Usage("there is no terminal to ask on, and it costs money: agree with --yes. Nothing was made")
    return confirm("go on?")


def price_line(offer: Offer) -> str:
    """`  3 x t4g.small, eu-central-1a, …: $0.0192/h each, $0.0576/h together, $0.46 until they end themselves`"""
    number = len(offer.names)
    line = f"  {f'{number} x ' if number > 1 else ''}{offer.quote.what}"
    if offer.quote.hourly is None or offer.hourly is None:
        return f"{line}: price unknown"
    each = f"${offer.quote.hourly.normalize():f}/h"
    line = f"{line}: {each}" + (f" each, ${offer.hourly.normalize():f}/h together" if number > 1 else "")
    return line if offer.total is None else f"{line}, ${offer.total} until they end themselves"


def _rehearse(store: Store, agreed: Agreed) -> None:
    from machine.cli.console import note
    from machine.workflow.plan import plan
    from machine.workflow.session import Session

    for name in agreed.names:
        with Session() as session:
            for step in plan(store.entry(name), agreed.driver, agreed.request, session):
                note(f"  {name}  {step.name}: {step.describe()}")


def _list_options(store: Store, driver: str) -> None:
    from machine.drivers.base import get

    options = get(driver, store).options
    width = max(map(len, options), default=0)
    for key, line in options.items():
        print(f"{key.ljust(width)}  {line}")


def _first_command(store: Store, name: str) -> str:
    """With -m only if the name would not be chosen anyway."""
    chosen = store.active() == name or (store.active() is None and len(store.names()) == 1)
    return f"pymachine {'' if chosen else f'-m {name} '}run -it debian bash"


def _say_what_remains(store: Store, driver: str, name: str) -> None:
    from machine.cli.console import note
    from machine.drivers.base import get
    from machine.errors import MachineError

    try:
        history = store.entry(name).journal.read() if store.exists(name) else None
        costs = get(driver, store).abilities.costs_money
    except (MachineError, OSError):
        return  # the error that is on its way says more
    if history is None:
        if costs:
            note(f"what had been made of {name} is removed again (--keep leaves it)")
    elif history.state and not history.complete and not history.removing:
        money = ", and may cost money" if costs else ""
        note(
            f"{name} is half made: what is done is kept{money}.\n"
            f"go on:  pymachine create {driver} {name}     undo:  pymachine rm {name}"
        )
