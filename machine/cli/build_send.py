"""How a build's files get to the engine: only what it lacks where it can say so, else as a tar."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from machine.cli.build_source import Directory, Remote, Source
from machine.errors import DaemonError, Usage

if TYPE_CHECKING:
    from hostagent.wire import AuthConfig, Progress
    from machine.client.delta import Context
    from machine.client.docker import DockerClient
    from machine.client.docker_call import Query


def start(
    client: DockerClient,
    query: Query,
    source: Source,
    secrets: Mapping[str, bytes],
    accounts: Mapping[str, AuthConfig],
) -> Iterator[Progress]:
    """The reports of the build; reading them does the work."""
    if isinstance(source, Directory):
        return _directory(client, query, source, secrets, accounts)
    if secrets:
        raise Usage(
            "--secret needs a directory as the context: unpack the archive, or check the repository out"
        )
    if isinstance(source, Remote):
        return client.builds.build({**query, "remote": source.url}, None, accounts)
    return client.builds.build(query, source.pieces, accounts)


def _directory(
    client: DockerClient,
    query: Query,
    source: Directory,
    secrets: Mapping[str, bytes],
    accounts: Mapping[str, AuthConfig],
) -> Iterator[Progress]:
    if client.builds.takes_parts():
        return _in_parts(client, query, source, secrets, accounts)
    if secrets:
        raise Usage("this engine takes no secrets for builds: build on a machine that pymachine made")
    return client.builds.build(*_as_tar(query, source), accounts)


def _in_parts(
    client: DockerClient,
    query: Query,
    source: Directory,
    secrets: Mapping[str, bytes],
    accounts: Mapping[str, AuthConfig],
) -> Iterator[Progress]:
    from hostagent.wire.context import BuildInput
    from machine.client import delta
    from machine.client.build_context import walk

    context = delta.read(source.path, walk(source.path, source.ignored) if source.path else ())
    given = BuildInput(dockerfile=source.text, secrets=dict(secrets))
    for last in (False, True):
        _send(client, context)
        try:
            return client.builds.build_context(query, context.name, context.id, given, accounts)
        except DaemonError as error:
            # Somebody has pruned between the two calls.
            if last or "send it again" not in str(error):
                raise
    raise AssertionError


def _send(client: DockerClient, context: Context) -> None:
    from machine.cli import show
    from machine.cli.console import note
    from machine.cli.transfer_progress import LiveLine
    from machine.client import delta

    live = LiveLine(sys.stderr)

    def passing(done: int, total: int) -> None:
        live.show(f"  … context  {show.size(done)} of {show.size(total)} sent")

    try:
        delta.send(client.builds, context, passing, passing)
    except KeyboardInterrupt:
        live.clear()
        note("what has arrived stays on the machine: the same command goes on from there")
        raise
    finally:
        live.clear()


def _as_tar(query: Query, source: Directory) -> tuple[Query, Iterator[bytes]]:
    """For any engine. A Dockerfile that is not among the files travels under a name that COPY does not see."""
    from machine.client import build_tar
    from machine.client.build_context import IGNORE, walk

    entries = walk(source.path, source.ignored) if source.path else iter(())
    if source.dockerfile:
        return {**query, "dockerfile": source.dockerfile}, build_tar.pack(source.path, entries)
    ignore = _read(os.path.join(source.path, IGNORE)) if source.path else b""
    name, extra = build_tar.hidden_dockerfile(source.text, ignore)
    return {**query, "dockerfile": name}, build_tar.pack(source.path, entries, extra)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
