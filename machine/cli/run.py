"""`pymachine run` and `container create`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from machine.cli.completion import image_names
from machine.cli.expansion import takes
from machine.cli.framework import passes_on
from machine.cli.options import DetachKeysOption, MachineOption
from machine.cli.run_options import RunOptions

_What = "What"
_Output = "Output"

_Image = Annotated[str, typer.Argument(metavar="IMAGE", autocompletion=image_names)]
_Command = Annotated[list[str] | None, typer.Argument(metavar="[COMMAND] [ARG]...")]
_Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="name of the container", rich_help_panel=_What),
]
_Platform = Annotated[
    str | None,
    typer.Option(
        "--platform", metavar="OS/ARCH", help="which of an image's platforms", rich_help_panel=_What
    ),
]
_Pull = Annotated[
    str,
    typer.Option(
        "--pull", metavar="WHEN", help="pull the image: missing, always, never", rich_help_panel=_What
    ),
]
_Detach = Annotated[
    bool,
    typer.Option("-d", "--detach", help="run in the background, print its ID", rich_help_panel=_Output),
]
_SigProxy = Annotated[
    bool,
    typer.Option(
        "--sig-proxy/--no-sig-proxy", help="pass signals on to the container", rich_help_panel=_Output
    ),
]
_Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="no progress of a pull", rich_help_panel=_Output)]


@passes_on
@takes("options", RunOptions)
def run(
    ctx: typer.Context,
    image: _Image,
    options: RunOptions,
    command: _Command = None,
    machine: MachineOption = None,
    name: _Name = None,
    platform: _Platform = None,
    pull: _Pull = "missing",
    detach: _Detach = False,
    detach_keys: DetachKeysOption = "ctrl-p,ctrl-q",
    sig_proxy: _SigProxy = True,
    quiet: _Quiet = False,
) -> None:
    """Run a command in a new container.

    pymachine run -it debian bash
    pymachine run -d --name web -p 8080:80 nginx
    """
    from machine.cli import launch

    order = launch.Order(
        options=replace(options, image=image, command=tuple(command or ()), detach=detach),
        name=name,
        platform=platform,
        pull=launch.pull_policy(pull),
        quiet=quiet,
    )
    code = launch.run(ctx, machine, order, detach_keys=detach_keys, sig_proxy=sig_proxy)
    raise typer.Exit(code)


@passes_on
@takes("options", RunOptions)
def create(
    ctx: typer.Context,
    image: _Image,
    options: RunOptions,
    command: _Command = None,
    machine: MachineOption = None,
    name: _Name = None,
    platform: _Platform = None,
    pull: _Pull = "missing",
    quiet: _Quiet = False,
) -> None:
    """Create a container without starting it; prints its ID.

    pymachine container create --name web nginx
    pymachine container create -it --name box debian bash
    """
    from machine.cli import launch

    order = launch.Order(
        options=replace(options, image=image, command=tuple(command or ())),
        name=name,
        platform=platform,
        pull=launch.pull_policy(pull),
        quiet=quiet,
    )
    print(launch.create(ctx, machine, order))
