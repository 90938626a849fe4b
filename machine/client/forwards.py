"""Ports of a machine here, and ports of here on a machine. They live in its keeper and keep it alive."""

from __future__ import annotations

from machine.client.keeper.protocol import AddForward, Address, Forward, RemoveForward
from machine.client.keeper_start import AskPassphrase, ask_keeper, ensure_keeper, keeper_status
from machine.errors import NotFound
from machine.model.machine import Machine


def forward_local(
    machine: Machine, listen: Address, target: Address, *, ask: AskPassphrase | None = None
) -> Forward:
    """ssh -L: `listen` on the laptop (port 0: any free one) leads to `target` as the machine sees it.

    The same forward again is no error. Raises Conflict: the port is taken.
    """
    return _add(machine, AddForward(listen, target, reverse=False), ask)


def forward_reverse(
    machine: Machine, listen: Address, target: Address, *, ask: AskPassphrase | None = None
) -> Forward:
    """ssh -R: `listen` on the machine (port 0: any free one) leads to `target` as the laptop sees it."""
    return _add(machine, AddForward(listen, target, reverse=True), ask)


def list_forwards(machine_name: str) -> list[Forward]:
    status = keeper_status(machine_name)
    return status.forwards if status is not None else []


def remove_forward(machine_name: str, number: int) -> None:
    """Ends a forward; connections through it go on. Raises NotFound or Conflict."""
    if all(forward.number != number for forward in list_forwards(machine_name)):
        raise NotFound(f"{machine_name} has no forward {number}:  pymachine forward {machine_name}")
    ask_keeper(machine_name, RemoveForward(number))


def _add(machine: Machine, request: AddForward, ask: AskPassphrase | None) -> Forward:
    ensure_keeper(machine, ask=ask)
    answer = ask_keeper(machine.name, request)
    assert isinstance(answer, Forward)
    return answer
