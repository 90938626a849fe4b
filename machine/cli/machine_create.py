"""`pymachine create`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from machine.cli.framework import settings_of
from machine.cli.options import VerboseOption

if TYPE_CHECKING:
    from machine.store.store import Store


def driver_names(incomplete: str) -> list[str]:
    from machine.drivers.base import DRIVERS

    return [name for name in DRIVERS if name.startswith(incomplete)]


def create(
    ctx: typer.Context,
    driver: Annotated[str, typer.Argument(metavar="DRIVER", autocompletion=driver_names)],
    names: Annotated[list[str], typer.Argument(metavar="NAME...")],
    option: Annotated[
        list[str] | None,
        typer.Option(
            "-o", "--option", metavar="KEY=VALUE", help="an option of the driver", rich_help_panel="What"
        ),
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
    verbose: VerboseOption = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="no progress", rich_help_panel="Output")
    ] = False,
) -> None:
    """Create a machine and put the engine on it; run it again to go on after a failure.

    pymachine create ssh vm1 --host admin@192.0.2.7
    pymachine create local web-1 web-2 --registry-mirror https://mirror.example
    """
    from machine.cli import values
    from machine.cli.console import note
    from machine.cli.step_progress import StepLines
    from machine.errors import Usage
    from machine.model.registries import Registries
    from machine.store.store import Store
    from machine.workflow.create import create as make

    store = Store()
    options = values.pairs(option or ())
    if host is not None:
        options["host"] = host
    if identity_file is not None:
        options["identity-file"] = str(Path(identity_file).expanduser().absolute())
    if accept_host_key is not None:
        options["accept-host-key"] = accept_host_key
    if "host" in options and len(names) > 1:
        raise Usage(f"{options['host']} is one host: give it one name, not {', '.join(names)}")
    registries = Registries.checked(registry_mirror or (), insecure_registry or ())
    for name in names:
        began = time.monotonic()
        lines = StepLines(verbose=verbose or settings_of(ctx).verbose, quiet=quiet)
        try:
            make(store, driver, name, options, lines, registries=registries, ask=_ask)
        except BaseException:
            _say_what_remains(store, driver, name)
            raise
        if quiet:
            continue
        note(
            f"{name} is ready ({time.monotonic() - began:.1f} s).  Try:  {_first_command(store, name)}"
            f'     or:  eval "$(pymachine env {name})"; docker ps'
        )


def _ask(question: str) -> bool:
    from machine.cli.console import can_ask, confirm

    return can_ask() and confirm(question)


def _first_command(store: Store, name: str) -> str:
    """With -m only if the name would not be chosen anyway."""
    chosen = store.active() == name or (store.active() is None and len(store.names()) == 1)
    return f"pymachine {'' if chosen else f'-m {name} '}run -it debian bash"


def _say_what_remains(store: Store, driver: str, name: str) -> None:
    from machine.cli.console import note
    from machine.errors import MachineError

    try:
        history = store.entry(name).journal.read() if store.exists(name) else None
    except (MachineError, OSError):
        return  # the error that is on its way says more
    if history is not None and history.state and not history.complete and not history.removing:
        note(
            f"{name} is half made: what is done is kept.\n"
            f"go on:  pymachine create {driver} {name}     undo:  pymachine rm {name}"
        )
