"""Which machine a command acts on, and the connection to its engine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from machine.cli.framework import settings_of
from machine.errors import MachineError, NotFound, Unavailable, Usage

if TYPE_CHECKING:
    from machine.client.docker import DockerClient
    from machine.model.machine import Machine

FIRST = "Make one:  pymachine create local dev1"


def machine_name(context: typer.Context | None, option: str | None) -> str:
    """`--machine`, `pymachine -m`, PYMACHINE_MACHINE, `pymachine use`, or the only one there is."""
    from machine.store.store import Store

    chosen = option or (settings_of(context).machine if context is not None else None)
    chosen = chosen or os.environ.get("PYMACHINE_MACHINE")
    if chosen:
        return chosen
    store = Store()
    active = store.active()
    if active:
        return active
    names = store.names()
    if not names:
        raise NotFound(f"there is no machine yet. {FIRST}")
    if len(names) > 1:
        raise Usage(
            f"there are {len(names)} machines ({', '.join(names)}) and none is chosen.\n"
            f"Choose one:  pymachine use {names[0]}     or, once:  pymachine -m {names[0]} …"
        )
    return names[0]


def machine(context: typer.Context | None, option: str | None) -> Machine:
    """The record of the chosen machine."""
    from machine.store.store import Store

    return Store().get(machine_name(context, option))


def engine_socket(context: typer.Context | None, option: str | None) -> Path:
    """The local socket on which the chosen machine's engine is reached."""
    from machine.client.keeper_start import ensure_keeper

    return ensure_keeper(machine(context, option), ask=ask_passphrase)


@contextmanager
def engine(context: typer.Context | None, option: str | None) -> Iterator[DockerClient]:
    """A client of the chosen machine's engine. A machine that is stopped is named as the reason why none answers."""
    from machine.client.docker import DockerClient

    name = machine_name(context, option)
    try:
        with DockerClient(engine_socket(None, name)) as client:
            yield client
    except Unavailable as error:
        raise _explained(name, error) from error


def _explained(name: str, error: Unavailable) -> Unavailable:
    from machine.drivers import base as drivers
    from machine.store.store import Store
    from machine.workflow import power

    store = Store()
    try:
        machine = store.get(name)
        state = power.state(store, machine)
    except MachineError:
        return error
    if state == "stopped":
        return Unavailable(f"{name} is stopped.  Start it:  pymachine start {name}")
    if state == "absent":
        return Unavailable(f"{name} is gone from where it was made.  Forget it:  pymachine rm {name}")
    if state == "running" and drivers.get(machine.driver, store).account is not None:
        return Unavailable(
            f"{error}\nIf you come from another address now, let it in:  pymachine start {name}"
        )
    return error


def ask_passphrase(path: str) -> str:
    """For a locked key that no agent holds."""
    import getpass

    return getpass.getpass(f"passphrase of {path}: ")
