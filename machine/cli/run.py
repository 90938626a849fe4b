"""`pymachine run` and `container create`."""

from __future__ import annotations

from typing import Annotated

import typer

from machine.cli.completion import image_names
from machine.cli.framework import passes_on
from machine.cli.options import DetachKeysOption, MachineOption
from machine.cli.request import RunOptions

_What = "What"
_Where = "Where"
_Limits = "Limits"
_Output = "Output"

_Image = Annotated[str, typer.Argument(metavar="IMAGE", autocompletion=image_names)]
_Command = Annotated[list[str] | None, typer.Argument(metavar="[COMMAND] [ARG]...")]
_Words = list[str] | None


def _many(*names: str, metavar: str, help: str, panel: str) -> typer.models.OptionInfo:
    found: typer.models.OptionInfo = typer.Option(*names, metavar=metavar, help=help, rich_help_panel=panel)
    return found


_Env = Annotated[
    _Words, _many("-e", "--env", metavar="NAME[=VALUE]", help="environment variable", panel=_What)
]
_EnvFile = Annotated[
    _Words, _many("--env-file", metavar="FILE", help="file of environment variables", panel=_What)
]
_Workdir = Annotated[str, _many("-w", "--workdir", metavar="DIR", help="working directory", panel=_What)]
_User = Annotated[str, _many("-u", "--user", metavar="USER[:GROUP]", help="name or number", panel=_What)]
_Entrypoint = Annotated[
    str | None,
    _many("--entrypoint", metavar="PROGRAM", help="instead of the image's; '' for none", panel=_What),
]
_Name = Annotated[str | None, _many("--name", metavar="NAME", help="name of the container", panel=_What)]
_Label = Annotated[_Words, _many("-l", "--label", metavar="KEY[=VALUE]", help="label", panel=_What)]
_Hostname = Annotated[str, _many("-h", "--hostname", metavar="NAME", help="host name inside", panel=_What)]
_Init = Annotated[
    bool, typer.Option("--init", help="a small init that forwards signals and reaps", rich_help_panel=_What)
]
_Restart = Annotated[
    str,
    _many("--restart", metavar="POLICY", help="no, always, unless-stopped, on-failure[:N]", panel=_What),
]
_StopSignal = Annotated[str, _many("--stop-signal", metavar="SIGNAL", help="signal of `stop`", panel=_What)]
_StopTimeout = Annotated[
    int | None, _many("--stop-timeout", metavar="SECONDS", help="until `stop` kills it", panel=_What)
]
_Platform = Annotated[
    str | None, _many("--platform", metavar="OS/ARCH", help="which of an image's platforms", panel=_What)
]
_Pull = Annotated[
    str, _many("--pull", metavar="WHEN", help="pull the image: missing, always, never", panel=_What)
]
_Remove = Annotated[
    bool, typer.Option("--rm", help="remove the container when it ends", rich_help_panel=_What)
]
_Volume = Annotated[
    _Words,
    _many("-v", "--volume", metavar="SOURCE:TARGET[:ro]", help="folder of the machine inside", panel=_Where),
]
_Tmpfs = Annotated[_Words, _many("--tmpfs", metavar="DIR[:OPTIONS]", help="folder in memory", panel=_Where)]
_Publish = Annotated[
    _Words,
    _many(
        "-p",
        "--publish",
        metavar="[HOST:]PORT[/udp]",
        help="port of the machine that leads inside",
        panel=_Where,
    ),
]
_Network = Annotated[
    str, _many("--network", "--net", metavar="NETWORK", help="bridge, host or none", panel=_Where)
]
_Memory = Annotated[
    str, _many("-m", "--memory", metavar="SIZE", help="most memory, such as 512m", panel=_Limits)
]
_Cpus = Annotated[str, _many("--cpus", metavar="NUMBER", help="most CPUs, such as 1.5", panel=_Limits)]
_Pids = Annotated[
    int | None, _many("--pids-limit", metavar="NUMBER", help="most processes, -1: any", panel=_Limits)
]
_CapAdd = Annotated[_Words, _many("--cap-add", metavar="CAPABILITY", help="right to give", panel=_Limits)]
_CapDrop = Annotated[
    _Words, _many("--cap-drop", metavar="CAPABILITY", help="right to take, or ALL", panel=_Limits)
]
_ReadOnly = Annotated[
    bool, typer.Option("--read-only", help="root file system cannot be written", rich_help_panel=_Limits)
]
_Interactive = Annotated[
    bool, typer.Option("-i", "--interactive", help="keep stdin open", rich_help_panel=_Output)
]
_Tty = Annotated[bool, typer.Option("-t", "--tty", help="give it a terminal", rich_help_panel=_Output)]
_Detach = Annotated[
    bool, typer.Option("-d", "--detach", help="run in the background, print its ID", rich_help_panel=_Output)
]
_SigProxy = Annotated[
    bool,
    typer.Option(
        "--sig-proxy/--no-sig-proxy", help="pass signals on to the container", rich_help_panel=_Output
    ),
]
_Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="no progress of a pull", rich_help_panel=_Output)]


@passes_on
def run(
    ctx: typer.Context,
    image: _Image,
    command: _Command = None,
    machine: MachineOption = None,
    env: _Env = None,
    env_file: _EnvFile = None,
    workdir: _Workdir = "",
    user: _User = "",
    entrypoint: _Entrypoint = None,
    name: _Name = None,
    label: _Label = None,
    hostname: _Hostname = "",
    init: _Init = False,
    remove: _Remove = False,
    restart: _Restart = "no",
    stop_signal: _StopSignal = "",
    stop_timeout: _StopTimeout = None,
    platform: _Platform = None,
    pull: _Pull = "missing",
    volume: _Volume = None,
    tmpfs: _Tmpfs = None,
    publish: _Publish = None,
    network: _Network = "",
    memory: _Memory = "",
    cpus: _Cpus = "",
    pids_limit: _Pids = None,
    cap_add: _CapAdd = None,
    cap_drop: _CapDrop = None,
    read_only: _ReadOnly = False,
    interactive: _Interactive = False,
    tty: _Tty = False,
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

    options = RunOptions(
        image=image,
        command=tuple(command or ()),
        env=tuple(env or ()),
        env_file=tuple(env_file or ()),
        volume=tuple(volume or ()),
        tmpfs=tuple(tmpfs or ()),
        workdir=workdir,
        user=user,
        entrypoint=entrypoint,
        label=tuple(label or ()),
        hostname=hostname,
        remove=remove,
        interactive=interactive,
        tty=tty,
        detach=detach,
        publish=tuple(publish or ()),
        memory=memory,
        cpus=cpus,
        pids_limit=pids_limit,
        cap_add=tuple(cap_add or ()),
        cap_drop=tuple(cap_drop or ()),
        read_only=read_only,
        init=init,
        stop_signal=stop_signal,
        stop_timeout=stop_timeout,
        network=network,
        restart=restart,
    )
    order = launch.Order(
        options=options, name=name, platform=platform, pull=launch.pull_policy(pull), quiet=quiet
    )
    code = launch.run(ctx, machine, order, detach_keys=detach_keys, sig_proxy=sig_proxy)
    raise typer.Exit(code)


@passes_on
def create(
    ctx: typer.Context,
    image: _Image,
    command: _Command = None,
    machine: MachineOption = None,
    env: _Env = None,
    env_file: _EnvFile = None,
    workdir: _Workdir = "",
    user: _User = "",
    entrypoint: _Entrypoint = None,
    name: _Name = None,
    label: _Label = None,
    hostname: _Hostname = "",
    init: _Init = False,
    remove: _Remove = False,
    restart: _Restart = "no",
    stop_signal: _StopSignal = "",
    stop_timeout: _StopTimeout = None,
    platform: _Platform = None,
    pull: _Pull = "missing",
    volume: _Volume = None,
    tmpfs: _Tmpfs = None,
    publish: _Publish = None,
    network: _Network = "",
    memory: _Memory = "",
    cpus: _Cpus = "",
    pids_limit: _Pids = None,
    cap_add: _CapAdd = None,
    cap_drop: _CapDrop = None,
    read_only: _ReadOnly = False,
    interactive: _Interactive = False,
    tty: _Tty = False,
    quiet: _Quiet = False,
) -> None:
    """Create a container without starting it; prints its ID.

    pymachine container create --name web nginx
    pymachine container create -it --name box debian bash
    """
    from machine.cli import launch

    options = RunOptions(
        image=image,
        command=tuple(command or ()),
        env=tuple(env or ()),
        env_file=tuple(env_file or ()),
        volume=tuple(volume or ()),
        tmpfs=tuple(tmpfs or ()),
        workdir=workdir,
        user=user,
        entrypoint=entrypoint,
        label=tuple(label or ()),
        hostname=hostname,
        remove=remove,
        interactive=interactive,
        tty=tty,
        publish=tuple(publish or ()),
        memory=memory,
        cpus=cpus,
        pids_limit=pids_limit,
        cap_add=tuple(cap_add or ()),
        cap_drop=tuple(cap_drop or ()),
        read_only=read_only,
        init=init,
        stop_signal=stop_signal,
        stop_timeout=stop_timeout,
        network=network,
        restart=restart,
    )
    order = launch.Order(
        options=options, name=name, platform=platform, pull=launch.pull_policy(pull), quiet=quiet
    )
    print(launch.create(ctx, machine, order))
