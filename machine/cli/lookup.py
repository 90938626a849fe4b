"""A machine by name, with the hint for those who meant a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machine.errors import MachineError, NotFound

if TYPE_CHECKING:
    from machine.model.machine import Machine
    from machine.store.store import Store


def check(store: Store, name: str, *, verb: str) -> None:
    """Raises NotFound if there is no trace of such a machine: with the exact command for a container of that name."""
    if store.exists(name):
        return
    holder = _holder(store, name)
    if holder is None:
        store.get(name)  # raises NotFound, with the names that there are
        return
    others = len(store.names()) > 1 and holder != store.active()
    chosen = f"-m {holder} " if others else ""
    raise NotFound(
        f'no machine named "{name}". There is a container "{name}" on {holder}:  '
        f"pymachine {chosen}container {verb} {name}"
    )


def get(store: Store, name: str, *, verb: str) -> Machine:
    """The record, or NotFound as `check` says it."""
    check(store, name, verb=verb)
    return store.get(name)


def _holder(store: Store, container: str) -> str | None:
    """The machine that has a container of that name: the chosen one, or one whose keeper runs. No error matters."""
    from machine.cli import target
    from machine.client.keeper.paths import keeper_paths

    try:
        chosen = target.machine_name(None, None)
    except MachineError:
        chosen = ""
    for name in sorted(store.names(), key=lambda name: name != chosen):
        if name != chosen and not keeper_paths(name).engine.exists():
            continue
        if _has(store, name, container):
            return name
    return None


def _has(store: Store, machine: str, container: str) -> bool:
    from machine.client.docker import DockerClient
    from machine.client.keeper_start import ensure_keeper
    from machine.workflow import power

    try:
        record = store.get(machine)
        if power.state(store, record) == "stopped":
            return False
        with DockerClient(ensure_keeper(record)) as client:
            client.containers.inspect(container)
    except (MachineError, OSError):
        return False
    return True
