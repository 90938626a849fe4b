"""`pymachine container start|stop|restart|kill|pause|unpause|rm|inspect|wait|rename`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from machine.cli import target
from machine.cli.each import each, inspect_each
from machine.cli.options import ContainerName, ContainerNames, InspectFormat, MachineOption

if TYPE_CHECKING:
    from machine.client.docker import DockerClient

_What = "What"
_Time = Annotated[
    int | None,
    typer.Option(
        "-t", "--time", "--timeout", metavar="SECONDS", help="until it is killed", rich_help_panel=_What
    ),
]
_Signal = Annotated[
    str | None,
    typer.Option("-s", "--signal", metavar="SIGNAL", help="instead of its own", rich_help_panel=_What),
]


def _on_each(
    ctx: typer.Context, machine: str | None, names: list[str], act: Callable[[DockerClient, str], object]
) -> None:
    """Does it to each of them and prints their names, as docker does."""
    with target.engine(ctx, machine) as client:

        def named(name: str) -> str:
            act(client, name)
            return name

        each(names, named)


def start(
    ctx: typer.Context,
    containers: ContainerNames,
    machine: MachineOption = None,
) -> None:
    """Start stopped containers.

    pymachine container start web
    pymachine container start web db
    """
    _on_each(ctx, machine, containers, lambda client, name: client.containers.start(name))


def stop(
    ctx: typer.Context,
    containers: ContainerNames,
    machine: MachineOption = None,
    time: _Time = None,
    signal: _Signal = None,
) -> None:
    """Stop running containers.

    pymachine container stop web
    pymachine container stop -t 60 db
    """
    _on_each(
        ctx,
        machine,
        containers,
        lambda client, name: client.containers.stop(name, timeout=time, signal=signal),
    )


def restart(
    ctx: typer.Context,
    containers: ContainerNames,
    machine: MachineOption = None,
    time: _Time = None,
    signal: _Signal = None,
) -> None:
    """Restart containers.

    pymachine container restart web
    pymachine container restart -t 60 db
    """
    _on_each(
        ctx,
        machine,
        containers,
        lambda client, name: client.containers.restart(name, timeout=time, signal=signal),
    )


def kill(
    ctx: typer.Context,
    containers: ContainerNames,
    machine: MachineOption = None,
    signal: Annotated[
        str, typer.Option("-s", "--signal", metavar="SIGNAL", help="name or number", rich_help_panel=_What)
    ] = "KILL",
) -> None:
    """Send a signal to containers.

    pymachine container kill web
    pymachine container kill -s HUP web
    """
    _on_each(ctx, machine, containers, lambda client, name: client.containers.kill(name, signal))


def pause(
    ctx: typer.Context,
    containers: ContainerNames,
    machine: MachineOption = None,
) -> None:
    """Freeze all processes of containers, until they are unpaused.

    pymachine container pause web
    pymachine container pause web db
    """
    _on_each(ctx, machine, containers, lambda client, name: client.containers.pause(name))


def unpause(
    ctx: typer.Context,
    containers: ContainerNames,
    machine: MachineOption = None,
) -> None:
    """Let paused containers go on.

    pymachine container unpause web
    pymachine container unpause web db
    """
    _on_each(ctx, machine, containers, lambda client, name: client.containers.unpause(name))


def remove(
    ctx: typer.Context,
    containers: ContainerNames,
    machine: MachineOption = None,
    force: Annotated[
        bool, typer.Option("-f", "--force", help="running ones too, killing them", rich_help_panel=_What)
    ] = False,
    volumes: Annotated[
        bool, typer.Option("-v", "--volumes", help="their anonymous volumes too", rich_help_panel=_What)
    ] = False,
) -> None:
    """Remove containers.

    pymachine container rm web
    pymachine container rm -f web db
    """
    from machine.errors import Conflict, DaemonError

    with target.engine(ctx, machine) as client:

        def act(name: str) -> str | None:
            try:
                client.containers.remove(name, force=force, volumes=volumes)
            except DaemonError as error:
                if error.status == 404 and force:
                    # As docker: what is gone is gone, and a script can go on.
                    return None
                if error.status == 409 and "running" in str(error):
                    raise Conflict(
                        f"{error}.  Kill and remove it:  pymachine container rm -f {name}"
                    ) from error
                raise
            return name

        each(containers, act)


def inspect(
    ctx: typer.Context,
    containers: ContainerNames,
    machine: MachineOption = None,
    size: Annotated[
        bool, typer.Option("-s", "--size", help="sizes on disk too", rich_help_panel=_What)
    ] = False,
    form: InspectFormat = None,
) -> None:
    """Show all that is known about containers, as JSON.

    pymachine container inspect web
    pymachine container inspect -f '{{.NetworkSettings.IPAddress}}' web
    """
    with target.engine(ctx, machine) as client:
        inspect_each(containers, lambda name: client.containers.inspect_raw(name, size=size), form)


def wait(
    ctx: typer.Context,
    containers: ContainerNames,
    machine: MachineOption = None,
) -> None:
    """Wait for containers to end and print their exit codes.

    pymachine container wait job
    pymachine container wait job1 job2
    """
    with target.engine(ctx, machine) as client:

        def act(name: str) -> str:
            return str(client.containers.wait(name).result().status_code)

        each(containers, act)


def rename(
    ctx: typer.Context,
    container: ContainerName,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    machine: MachineOption = None,
) -> None:
    """Give a container another name.

    pymachine container rename web web-old
    pymachine container rename 9f2c web
    """
    with target.engine(ctx, machine) as client:
        client.containers.rename(container, name)
