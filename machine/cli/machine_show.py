"""`pymachine inspect`, `ip`, `use`."""

from __future__ import annotations

from typing import Annotated

import typer

from machine.cli.each import inspect_each
from machine.cli.options import InspectFormat, MachineNames, MaybeMachineName


def inspect(machines: MachineNames, form: InspectFormat = None) -> None:
    """Show all that is known about machines, as JSON.

    pymachine inspect dev1
    pymachine inspect -f '{{.address}}' dev1
    """
    from machine.cli import lookup
    from machine.store.store import Store

    store = Store()
    inspect_each(machines, lambda name: lookup.get(store, name, verb="inspect").to_json(), form)


def ip(ctx: typer.Context, machine: MaybeMachineName = None) -> None:
    """Print a machine's address.

    pymachine ip dev1
    curl http://$(pymachine ip dev1):8080/
    """
    from machine.cli import target

    print(target.machine(ctx, machine).address)


def use(
    machine: MaybeMachineName = None,
    none: Annotated[bool, typer.Option("--none", help="choose none again", rich_help_panel="What")] = False,
) -> None:
    """Choose the machine that commands act on; without a name: print it.

    pymachine use dev1
    pymachine use --none
    """
    from machine.errors import NotFound, Usage
    from machine.store.store import Store

    store = Store()
    if none and machine:
        raise Usage("--none and a machine's name contradict each other")
    if none or machine:
        store.use(machine)
        return
    active = store.active()
    if active is None:
        raise NotFound("no machine is chosen.  Choose one:  pymachine use NAME")
    print(active)
