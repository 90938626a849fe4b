"""`pymachine build`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from machine.cli import target
from machine.cli.options import MachineOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostagent.wire import Progress
    from machine.cli.build_source import Source
    from machine.cli.build_words import Output
    from machine.client.docker import DockerClient
    from machine.client.docker_call import Query

_What: Final = "What"
_Limits: Final = "Limits"
_Output: Final = "Output"


def build(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH|URL|-")],
    machine: MachineOption = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("-t", "--tag", metavar="NAME[:TAG]", help="name of the image", rich_help_panel=_What),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "-f", "--file", metavar="FILE", help="Dockerfile, - for stdin (PATH/Dockerfile)", rich_help_panel=_What
        ),
    ] = None,
    stage: Annotated[
        str, typer.Option("--target", metavar="STAGE", help="build this stage", rich_help_panel=_What)
    ] = "",
    build_arg: Annotated[
        list[str] | None,
        typer.Option("--build-arg", metavar="NAME[=VALUE]", help="value of an ARG", rich_help_panel=_What),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="KEY=VALUE", help="label of the image", rich_help_panel=_What),
    ] = None,
    platform: Annotated[
        str, typer.Option("--platform", metavar="OS/ARCH", help="what to build for", rich_help_panel=_What)
    ] = "",
    pull: Annotated[
        bool, typer.Option("--pull", help="ask registries for newer images of FROM", rich_help_panel=_What)
    ] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="do all steps again", rich_help_panel=_What)
    ] = False,
    cache_from: Annotated[
        list[str] | None,
        typer.Option("--cache-from", metavar="IMAGE", help="take cached steps from it", rich_help_panel=_What),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            "--secret", metavar="id=NAME,src=FILE|env=VAR", help="for RUN --mount=type=secret", rich_help_panel=_What
        ),
    ] = None,
    ssh: Annotated[
        list[str] | None,
        typer.Option("--ssh", metavar="default", help="not built yet: use --secret", rich_help_panel=_What),
    ] = None,
    add_host: Annotated[
        list[str] | None,
        typer.Option("--add-host", metavar="NAME:ADDRESS", help="for RUN's /etc/hosts", rich_help_panel=_Limits),
    ] = None,
    network: Annotated[
        str, typer.Option("--network", metavar="MODE", help="of RUN: default, none, host", rich_help_panel=_Limits)
    ] = "",
    memory: Annotated[
        str | None, typer.Option("-m", "--memory", metavar="BYTES", help="of RUN", rich_help_panel=_Limits)
    ] = None,
    memory_swap: Annotated[
        str | None,
        typer.Option("--memory-swap", metavar="BYTES", help="memory and swap; -1: no limit", rich_help_panel=_Limits),
    ] = None,
    shm_size: Annotated[
        str | None, typer.Option("--shm-size", metavar="BYTES", help="of /dev/shm", rich_help_panel=_Limits)
    ] = None,
    ulimit: Annotated[
        list[str] | None,
        typer.Option("--ulimit", metavar="NAME=SOFT[:HARD]", help="of RUN", rich_help_panel=_Limits),
    ] = None,
    cpu_shares: Annotated[
        int | None, typer.Option("-c", "--cpu-shares", metavar="N", help="weight", rich_help_panel=_Limits)
    ] = None,
    cpu_period: Annotated[
        int | None, typer.Option("--cpu-period", metavar="US", help="of the quota", rich_help_panel=_Limits)
    ] = None,
    cpu_quota: Annotated[
        int | None, typer.Option("--cpu-quota", metavar="US", help="CPU time a period", rich_help_panel=_Limits)
    ] = None,
    cpuset_cpus: Annotated[
        str, typer.Option("--cpuset-cpus", metavar="LIST", help="CPUs of RUN", rich_help_panel=_Limits)
    ] = "",
    cpuset_mems: Annotated[
        str, typer.Option("--cpuset-mems", metavar="LIST", help="memory nodes of RUN", rich_help_panel=_Limits)
    ] = "",
    cgroup_parent: Annotated[
        str, typer.Option("--cgroup-parent", metavar="PATH", help="cgroup of RUN", rich_help_panel=_Limits)
    ] = "",
    security_opt: Annotated[
        list[str] | None,
        typer.Option("--security-opt", metavar="OPTION", help="of RUN", rich_help_panel=_Limits),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="type=TYPE,dest=PATH", help="image, oci, docker, tar or local",
            rich_help_panel=_Output,
        ),
    ] = None,
    progress: Annotated[
        str, typer.Option("--progress", metavar="MODE", help="auto, plain, tty, quiet", rich_help_panel=_Output)
    ] = "auto",
    iidfile: Annotated[
        str | None,
        typer.Option("--iidfile", metavar="FILE", help="write the image's ID there", rich_help_panel=_Output),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="only the image's ID", rich_help_panel=_Output)
    ] = False,
) -> None:  # fmt: skip
    """Build an image from a Dockerfile and the files beside it; prints its ID.

    pymachine build -t app .
    pymachine build -t app --secret id=token,env=TOKEN -f docker/Dockerfile .
    """
    import json

    from machine.cli import build_progress, build_source, build_words, values
    from machine.errors import Usage

    if progress not in build_progress.MODES:
        raise Usage(f'invalid --progress "{progress}": use one of {", ".join(build_progress.MODES)}')
    if ssh:
        raise Usage(
            "--ssh is not built yet: give the key as a secret, for example --secret id=key,src=~/.ssh/id"
        )
    result = build_words.output(output)
    query: Query = {
        "t": [*(tag or ()), *filter(None, [result.name])],
        "target": stage or None,
        "buildargs": build_words.arguments(build_arg or ()),
        "labels": build_words.labels(label or ()),
        "platform": platform or None,
        "pull": pull,
        "nocache": no_cache,
        "cachefrom": build_words.cache_from(cache_from or ()),
        "extrahosts": build_words.hosts(add_host or ()),
        "networkmode": network or None,
        "memory": None if memory is None else values.size(memory),
        "memswap": build_words.memory_swap(memory_swap),
        "shmsize": None if shm_size is None else values.size(shm_size),
        "ulimits": build_words.ulimits(ulimit or ()),
        "cpushares": cpu_shares,
        "cpuperiod": cpu_period,
        "cpuquota": cpu_quota,
        "cpusetcpus": cpuset_cpus or None,
        "cpusetmems": cpuset_mems or None,
        "cgroupparent": cgroup_parent or None,
        "securityopt": json.dumps(security_opt) if security_opt else None,
        "rm": True,
        "forcerm": True,
        "version": "1",
    }
    secrets = build_words.secrets(secret or ())
    source = build_source.resolve(path, file)
    with target.engine(ctx, machine) as client:
        reports = _reports(client, query, source, secrets)
        image = build_progress.follow(reports, "quiet" if quiet else progress)
        _keep(client, image, result, tag or [])
    if iidfile is not None:
        _write(iidfile, image)
    if result.destination != "-":
        print(image)


def _reports(
    client: DockerClient, query: Query, source: Source, secrets: dict[str, bytes]
) -> Iterator[Progress]:
    """The build, on its way."""
    from machine.cli import build_send, registry_auth

    return build_send.start(client, query, source, secrets, registry_auth.all_credentials())


def _keep(client: DockerClient, image: str, result: Output, tags: list[str]) -> None:
    """Bring the result here, if it was asked for."""
    from machine.cli.files import write_archive

    if not result.destination:
        return
    if result.kind in ("oci", "docker"):
        names = tags or [image]
        write_archive(
            None if result.destination == "-" else result.destination, lambda: client.images.save(names)
        )
        return
    from machine.cli import build_files

    build_files.bring(client, image, result)


def _write(path: str, text: str) -> None:
    from machine.errors import MachineError

    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise MachineError(f"cannot write {path}: {error.strerror}") from error
