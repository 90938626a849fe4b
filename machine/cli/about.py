"""`pymachine version`."""

from __future__ import annotations

from typing import Annotated

import typer

from machine.cli.options import InspectFormat, MachineOption


def version(
    ctx: typer.Context,
    machine: MachineOption = None,
    client_only: Annotated[
        bool, typer.Option("--client", help="this side only", rich_help_panel="What")
    ] = False,
    form: InspectFormat = None,
) -> None:
    """Show the versions of pymachine and of the engine on the machine.

    pymachine version
    pymachine version -f '{{.Engine.Version}}'
    """
    import platform
    from importlib.metadata import version as installed

    import msgspec

    from machine.cli import target
    from machine.cli.output import print_inspection

    ours = {"Version": installed("pymachine-engine"), "Python": platform.python_version()}
    found: dict[str, object] = {"Client": ours}
    if not client_only:
        with target.engine(ctx, machine) as client:
            found["Engine"] = msgspec.to_builtins(client.version())
    if form is not None:
        print_inspection([found], form)
        return
    print(f"pymachine  {ours['Version']} (Python {ours['Python']})")
    engine = found.get("Engine")
    if isinstance(engine, dict):
        name = target.machine_name(ctx, machine)
        print(
            f"engine     {engine['Version']} on {name} (API {engine['ApiVersion']}, {engine['Os']}/{engine['Arch']})"
        )
