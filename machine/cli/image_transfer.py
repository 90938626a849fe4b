"""`pymachine pull`, `push`, `load`, `save`, `import`: images between a machine, registries and files of here."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from machine.cli import target
from machine.cli.completion import image_names
from machine.cli.files import open_archive, pieces
from machine.cli.options import ImageName, ImageNames, MachineOption

_What = "What"
_Output = "Output"
_AllTags = Annotated[
    bool, typer.Option("-a", "--all-tags", help="all tags of the repository", rich_help_panel=_What)
]
_Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="no progress", rich_help_panel=_Output)]


def pull(
    ctx: typer.Context,
    image: Annotated[str, typer.Argument(metavar="IMAGE[:TAG|@DIGEST]", autocompletion=image_names)],
    machine: MachineOption = None,
    platform: Annotated[
        str | None,
        typer.Option("--platform", metavar="OS/ARCH", help="which of its platforms", rich_help_panel=_What),
    ] = None,
    all_tags: _AllTags = False,
    quiet: _Quiet = False,
) -> None:
    """Pull an image from a registry.

    pymachine pull debian:12
    pymachine pull --platform linux/arm64 registry.example.com/app
    """
    from machine.cli import registry_auth, transfer_progress
    from machine.cli.console import note

    _refuse_tag(image, all_tags)
    name = target.machine_name(ctx, machine)
    with target.engine(ctx, machine) as client:
        auth = registry_auth.credentials(image)
        reports = client.images.pull(image, platform=platform, auth=auth, all_tags=all_tags)
        for message in transfer_progress.follow(f"pulling {image} on {name}", reports, quiet=quiet):
            if message.startswith("Status:") and not quiet:
                note(message.removeprefix("Status: "))
    print(_full_name(image).removesuffix(":latest") if all_tags else _full_name(image))


def _full_name(image: str) -> str:
    """The reference that was meant: `debian` -> `docker.io/library/debian:latest`, as docker prints it."""
    from machine.client.docker_call import split_reference

    name, version = split_reference(image)
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif not ("." in first or ":" in first or first == "localhost"):
        name = f"docker.io/{name}"
    version = version or "latest"
    return f"{name}{'@' if ':' in version else ':'}{version}"


def _refuse_tag(image: str, all_tags: bool) -> None:
    from machine.client.docker_call import split_reference
    from machine.errors import Usage

    if all_tags and split_reference(image)[1] is not None:
        raise Usage(f"--all-tags and the tag of {image} exclude each other: leave one out")


def push(
    ctx: typer.Context,
    image: ImageName,
    machine: MachineOption = None,
    all_tags: _AllTags = False,
    quiet: _Quiet = False,
) -> None:
    """Push an image to the registry that its name says.

    pymachine push registry.example.com/app:1.2
    pymachine push -a -q 127.0.0.1:5000/app
    """
    from machine.cli import registry_auth, transfer_progress

    _refuse_tag(image, all_tags)
    name = target.machine_name(ctx, machine)
    with target.engine(ctx, machine) as client:
        reports = client.images.push(image, auth=registry_auth.credentials(image), all_tags=all_tags)
        messages = transfer_progress.follow(f"pushing {image} from {name}", reports, quiet=quiet)
    print(image if quiet else "\n".join(m for m in messages if "digest:" in m) or image)


def load(
    ctx: typer.Context,
    machine: MachineOption = None,
    source: Annotated[
        str | None,
        typer.Option(
            "-i", "--input", metavar="FILE", help="archive to read, else stdin", rich_help_panel=_What
        ),
    ] = None,
    quiet: _Quiet = False,
) -> None:
    """Load images from a tar archive, as `save` and `docker save` write it.

    pymachine load -i app.tar
    docker save app | pymachine load
    """
    from machine.cli import transfer_progress

    name = target.machine_name(ctx, machine)
    with open_archive(source) as file, target.engine(ctx, machine) as client:
        messages = transfer_progress.follow(
            f"loading images on {name}", client.images.load(pieces(file)), quiet=quiet
        )
    for message in messages:
        print(message)


def save(
    ctx: typer.Context,
    images: ImageNames,
    machine: MachineOption = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="archive to write, else stdout", rich_help_panel=_Output
        ),
    ] = None,
) -> None:
    """Save images to a tar archive.

    pymachine save -o app.tar app:1.2
    pymachine save app | xz > app.tar.xz
    """
    from machine.cli.files import write_archive

    with target.engine(ctx, machine) as client:
        write_archive(output, lambda: client.images.save(images))


def import_(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(metavar="FILE|-")],
    image: Annotated[str | None, typer.Argument(metavar="[NAME[:TAG]]")] = None,
    machine: MachineOption = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "-c", "--change", metavar="LINE", help="Dockerfile line to apply", rich_help_panel=_What
        ),
    ] = None,
    message: Annotated[
        str | None,
        typer.Option("-m", "--message", metavar="TEXT", help="for the history", rich_help_panel=_What),
    ] = None,
) -> None:
    """Make an image of a file system in a tar archive; prints its ID.

    pymachine import rootfs.tar base:1
    tar -C rootfs -c . | pymachine import -c 'CMD ["/bin/sh"]' - base
    """
    from machine.cli import transfer_progress

    name = target.machine_name(ctx, machine)
    with open_archive(None if source == "-" else source) as file, target.engine(ctx, machine) as client:
        reports = client.images.import_(pieces(file), image, message, change or ())
        messages = transfer_progress.follow(f"importing on {name}", reports, quiet=not sys.stderr.isatty())
    if messages:
        print(messages[-1])
