"""`pymachine rm`: says what would be lost, asks, removes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from machine.cli.each import each
from machine.cli.framework import settings_of
from machine.cli.options import MachineNames, VerboseOption

if TYPE_CHECKING:
    from hostagent.wire import ContainerSummary, ImageSummary
    from machine.store.store import Store

_SHOWN: Final = 5


@dataclass(frozen=True)
class Loss:
    """What exists on a machine and nowhere else."""

    running: tuple[str, ...]
    stopped: int
    images: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.running or self.stopped or self.images)


def remove(
    ctx: typer.Context,
    machines: MachineNames,
    yes: Annotated[
        bool,
        typer.Option("-y", "--yes", "-f", "--force", help="do not ask (for scripts)", rich_help_panel="What"),
    ] = False,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="of the ssh driver: only forget the machine here; engine, containers and images stay on the host",
            rich_help_panel="What",
        ),
    ] = False,
    verbose: VerboseOption = False,
) -> None:
    """Remove machines and all that is on them, after asking.

    pymachine rm dev1 dev2
    pymachine rm --keep vm1
    """
    from machine.cli import lookup
    from machine.cli.console import can_ask, confirm, note
    from machine.cli.step_progress import StepLines
    from machine.errors import Usage
    from machine.store.store import Store
    from machine.workflow.remove import remove as undo

    store = Store()

    def act(name: str) -> str | None:
        lookup.check(store, name, verb="rm")
        if not yes and not keep:
            text = holdings(store, name) + _what_stays(store, name)
            if not can_ask():
                raise Usage(
                    f"{text}\nThere is no terminal to ask on.  To remove it all:  pymachine rm --yes {name}"
                )
            note(text)
            if not confirm("remove it all?"):
                note(f"{name} stays")
                return None
        undo(store, name, StepLines(verbose=verbose or settings_of(ctx).verbose), keep=keep)
        return name

    if len(machines) == 1:
        # One machine: its own exit code (2 for a refusal to guess).
        said = act(machines[0])
        if said is not None:
            print(said)
    else:
        each(machines, act)


def holdings(store: Store, name: str) -> str:
    """A sentence on what the removal would destroy."""
    from machine.errors import MachineError
    from machine.workflow import power

    try:
        machine = store.get(name)
        if not store.entry(name).journal.read().complete:
            return f"{name} is half made."
        state = power.state(store, machine)
    except MachineError as error:
        return f"{name} cannot be looked into ({error})."
    if state == "absent":
        return f"{name} is gone already; what is left here is its record."
    if state != "running":
        return f"{name} is {state}: what containers and images it holds cannot be listed."
    try:
        return describe(name, _ask_engine(name))
    except (MachineError, OSError) as error:
        return f"{name} runs, but what it holds cannot be listed ({error})."


def _what_stays(store: Store, name: str) -> str:
    """A sentence more for a host that is not ours."""
    from machine.drivers.base import get

    machine = store.entry(name).read()
    if machine is None or get(machine.driver, store).abilities.makes_hosts:
        return ""
    return (
        f"\nThe host stays ({machine.user}@{machine.address}); the engine and what it holds are removed from it.  "
        f"To leave them there and only forget the machine:  pymachine rm --keep {name}"
    )


def _ask_engine(name: str) -> Loss:
    from machine.cli import target
    from machine.client.docker import DockerClient

    with DockerClient(target.engine_socket(None, name)) as client:
        return loss(client.containers.list(all=True), client.images.list())


def loss(containers: Sequence[ContainerSummary], images: Sequence[ImageSummary]) -> Loss:
    """Containers, and images that no registry has (those that were pulled or pushed have a digest there)."""
    running = [container for container in containers if container.state == "running"]
    return Loss(
        running=tuple(_name(container) for container in running),
        stopped=len(containers) - len(running),
        images=tuple((image.repo_tags or [image.id[7:19]])[0] for image in images if not image.repo_digests),
    )


def _name(container: ContainerSummary) -> str:
    return container.names[0].lstrip("/") if container.names else container.id[:12]


def describe(name: str, found: Loss) -> str:
    """`dev1 holds 2 running containers (web, db) and 1 image (app:dev) that exist nowhere else`."""
    if not found:
        return f"{name} holds no containers, and no images that exist nowhere else."
    parts: list[str] = []
    if found.running:
        parts.append(f"{_count(len(found.running), 'running container')} ({_some(found.running)})")
    if found.stopped:
        parts.append(_count(found.stopped, "stopped container"))
    if found.images:
        parts.append(f"{_count(len(found.images), 'image')} ({_some(found.images)})")
    listed = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    total = len(found.running) + found.stopped + len(found.images)
    return f"{name} holds {listed} that {'exists' if total == 1 else 'exist'} nowhere else."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown}, and {len(names) - _SHOWN} more"
