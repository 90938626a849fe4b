"""`pymachine container export|commit|diff|port`: what is in a container, and what leads to it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from machine.cli import target
from machine.cli.options import ContainerName, MachineOption

_What = "What"
_Output = "Output"
_KINDS = ("C", "A", "D")


def export(
    ctx: typer.Context,
    container: ContainerName,
    machine: MachineOption = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="archive to write, else stdout", rich_help_panel=_Output
        ),
    ] = None,
) -> None:
    """Save a container's file system to a tar archive.

    pymachine container export -o web.tar web
    pymachine container export web | tar -t
    """
    from machine.cli.files import write_archive

    with target.engine(ctx, machine) as client:
        write_archive(output, lambda: client.containers.export(container))


def commit(
    ctx: typer.Context,
    container: ContainerName,
    image: Annotated[str | None, typer.Argument(metavar="[NAME[:TAG]]")] = None,
    machine: MachineOption = None,
    author: Annotated[
        str, typer.Option("-a", "--author", metavar="TEXT", help="who made it", rich_help_panel=_What)
    ] = "",
    message: Annotated[
        str, typer.Option("-m", "--message", metavar="TEXT", help="for the history", rich_help_panel=_What)
    ] = "",
    change: Annotated[
        list[str] | None,
        typer.Option(
            "-c", "--change", metavar="LINE", help="Dockerfile line to apply", rich_help_panel=_What
        ),
    ] = None,
    pause: Annotated[
        bool,
        typer.Option("--pause/--no-pause", help="pause it meanwhile", rich_help_panel=_What),
    ] = True,
) -> None:
    """Make an image of what a container has changed; prints its ID.

    pymachine container commit web web:fixed
    pymachine container commit -c 'CMD ["/bin/sh"]' web debug
    """
    with target.engine(ctx, machine) as client:
        print(
            client.containers.commit(
                container, image, author=author, comment=message, changes=change or (), pause=pause
            )
        )


def diff(
    ctx: typer.Context,
    container: ContainerName,
    machine: MachineOption = None,
) -> None:
    """Show which files a container has changed (C), added (A) and deleted (D).

    pymachine container diff web
    pymachine container diff web | grep ^A
    """
    with target.engine(ctx, machine) as client:
        for change in client.containers.changes(container):
            sys.stdout.write(f"{_KINDS[change.kind]} {change.path}\n")


def port(
    ctx: typer.Context,
    container: ContainerName,
    which: Annotated[str | None, typer.Argument(metavar="[PORT[/udp]]")] = None,
    machine: MachineOption = None,
) -> None:
    """Show where on the machine a container's ports are published.

    pymachine container port web
    pymachine container port web 80
    """
    from machine.errors import NotFound

    with target.engine(ctx, machine) as client:
        published = client.containers.inspect(container).network_settings.ports
    lines: list[tuple[str, str]] = []
    for inside, bindings in sorted(published.items(), key=lambda item: _number(item[0])):
        for binding in bindings or ():
            address = f"[{binding.host_ip}]" if ":" in binding.host_ip else binding.host_ip
            lines.append((inside, f"{address}:{binding.host_port}"))
    if which is None:
        for inside, place in lines:
            print(f"{inside} -> {place}")
        return
    wanted = which if "/" in which else f"{which}/tcp"
    found = [place for inside, place in lines if inside == wanted]
    if not found:
        raise NotFound(f"port {wanted} of {container} is not published")
    for place in found:
        print(place)


def _number(port: str) -> tuple[int, str]:
    number, _, protocol = port.partition("/")
    return int(number), protocol
