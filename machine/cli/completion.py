"""What the shell offers after Tab: names of machines, containers, images, volumes. No error, and no long wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from machine.client.docker import DockerClient


def machine_names(incomplete: str) -> list[tuple[str, str]]:
    """Machines of the store, with their drivers."""
    from machine.store.store import Store

    return [(entry.name, entry.driver) for entry in Store().list() if entry.name.startswith(incomplete)]


def container_names(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """All containers, with their images."""
    return _containers(ctx, incomplete, everything=True)


def running_names(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Running containers, with their images."""
    return _containers(ctx, incomplete, everything=False)


def image_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Tags that are on the machine."""
    tags = _ask(
        ctx, lambda client: [(t, "") for image in client.images.list() for t in image.repo_tags or ()]
    )
    return [tag for tag, _ in tags if tag.startswith(incomplete)]


def volume_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Volumes that are on the machine."""
    names = _ask(ctx, lambda client: [(volume.name, "") for volume in client.volumes.list().volumes])
    return [name for name, _ in names if name.startswith(incomplete)]


def _containers(ctx: typer.Context, incomplete: str, *, everything: bool) -> list[tuple[str, str]]:
    found = _ask(
        ctx,
        lambda client: [
            (name.lstrip("/"), container.image)
            for container in client.containers.list(all=everything)
            for name in container.names
        ],
    )
    return [(name, image) for name, image in found if name.startswith(incomplete)]


def _ask(
    ctx: typer.Context, question: Callable[[DockerClient], list[tuple[str, str]]]
) -> list[tuple[str, str]]:
    """The answer if the keeper runs already: a Tab must not open an SSH connection. Nothing, without a word, else."""
    from machine.cli import target
    from machine.client.docker import DockerClient
    from machine.client.keeper.paths import keeper_paths
    from machine.errors import MachineError

    try:
        root = ctx.find_root().params.get("machine")
        path = keeper_paths(target.machine_name(None, ctx.params.get("machine") or root)).engine
        if not path.exists():
            return []
        with DockerClient(path) as client:
            return question(client)
    except (MachineError, OSError):
        return []
