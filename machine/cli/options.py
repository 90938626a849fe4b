"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from machine.cli.completion import container_names, image_names, machine_names, running_names, volume_names

MachineOption = Annotated[
    str | None,
    typer.Option(
        "--machine",
        metavar="NAME",
        help="act on this machine",
        rich_help_panel="Where",
        autocompletion=machine_names,
    ),
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="TEMPLATE", help="Go template, json, or table TEMPLATE", rich_help_panel="Output"
    ),
]
InspectFormat = Annotated[
    str | None,
    typer.Option("-f", "--format", metavar="TEMPLATE", help="Go template, or json", rich_help_panel="Output"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="one JSON object a line", rich_help_panel="Output")]
QuietOption = Annotated[
    bool, typer.Option("-q", "--quiet", help="only names or IDs", rich_help_panel="Output")
]
VerboseOption = Annotated[
    bool, typer.Option("-v", "--verbose", help="say what each step does", rich_help_panel="Output")
]
NoTruncOption = Annotated[
    bool, typer.Option("--no-trunc", help="do not shorten IDs and commands", rich_help_panel="Output")
]
FilterOption = Annotated[
    list[str] | None,
    typer.Option("-f", "--filter", metavar="KEY=VALUE", help="only those that match", rich_help_panel="What"),
]
DetachKeysOption = Annotated[
    str,
    typer.Option(
        "--detach-keys",
        metavar="KEYS",
        help="keys that leave it running in the background",
        rich_help_panel="Output",
    ),
]
MachineNames = Annotated[list[str], typer.Argument(metavar="MACHINE...", autocompletion=machine_names)]
MachineName = Annotated[str, typer.Argument(metavar="MACHINE", autocompletion=machine_names)]
MaybeMachineName = Annotated[str | None, typer.Argument(metavar="[MACHINE]", autocompletion=machine_names)]
ContainerName = Annotated[str, typer.Argument(metavar="CONTAINER", autocompletion=container_names)]
RunningName = Annotated[str, typer.Argument(metavar="CONTAINER", autocompletion=running_names)]
ContainerNames = Annotated[list[str], typer.Argument(metavar="CONTAINER...", autocompletion=container_names)]
ImageName = Annotated[str, typer.Argument(metavar="IMAGE", autocompletion=image_names)]
ImageNames = Annotated[list[str], typer.Argument(metavar="IMAGE...", autocompletion=image_names)]
VolumeName = Annotated[str, typer.Argument(metavar="VOLUME", autocompletion=volume_names)]
VolumeNames = Annotated[list[str], typer.Argument(metavar="VOLUME...", autocompletion=volume_names)]
