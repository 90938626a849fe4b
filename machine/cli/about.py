"""`pymachine version` and `info`."""

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


def info(
    ctx: typer.Context,
    machine: MachineOption = None,
    form: InspectFormat = None,
) -> None:
    """Show what the machine and its engine are, have and lack.

    pymachine info
    pymachine info -f '{{.NCPU}} CPUs, {{.MemTotal}} bytes'
    """
    import json

    from machine.cli import show, target
    from machine.cli.console import print_warning
    from machine.cli.output import print_inspection

    with target.engine(ctx, machine) as client:
        raw = client.info_raw()
    if form is not None:
        print_inspection([json.loads(raw)], form)
        return
    from hostagent import wire
    from machine.client.docker_call import decode

    found = decode(raw, wire.Info)
    rows = (
        ("machine", target.machine_name(ctx, machine)),
        ("system", f"{found.operating_system}, Linux {found.kernel_version}, {found.architecture}"),
        ("CPUs, memory", f"{found.n_cpu}, {show.binary_size(found.mem_total)}"),
        ("engine", f"{found.server_version}, storage {found.driver} in {found.docker_root_dir}"),
        (
            "containers",
            f"{found.containers_running} running, {found.containers_paused} paused, {found.containers_stopped} stopped",
        ),
        ("images", str(found.images)),
        ("cgroups", f"version {found.cgroup_version}, driver {found.cgroup_driver}"),
        ("logs", found.logging_driver),
        ("security", ", ".join(word.removeprefix("name=") for word in found.security_options or ())),
    )
    for name, text in rows:
        print(f"{name:<14}{text}")
    for warning in found.warnings or ():
        print_warning(warning.removeprefix("WARNING: "))
