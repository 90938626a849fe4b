"""`pymachine gc`: what creates and removals that never ended have left in an account, found without any local state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from machine.drivers import base as drivers
from machine.drivers.account import Account, Found
from machine.drivers.base import Say
from machine.errors import Conflict, Unsupported
from machine.store.store import Store
from machine.workflow.remove import remove
from machine.workflow.request import Request

# Seconds. What is younger may be somebody else's create, at work on another laptop.
GRACE = 3600.0


@dataclass(frozen=True)
class Survey:
    """`orphans` may go; `young` perhaps belong to a create that is at work elsewhere; `unknown` are whole machines that
    this laptop does not know; `kept` is all else."""

    orphans: tuple[Found, ...]
    young: tuple[Found, ...]
    unknown: tuple[Found, ...]
    kept: tuple[Found, ...]


def account_of(store: Store, driver_name: str) -> Account:
    """Raises Unsupported for a driver without one."""
    account = drivers.get(driver_name, store).account
    if account is None:
        raise Unsupported(
            f"the {driver_name} driver has no account to look into: its machines are those of  pymachine ls"
        )
    return account


def survey(
    store: Store, driver_name: str, options: dict[str, str], say: Say, *, grace: float = GRACE
) -> Survey:
    found = account_of(store, driver_name).found(options, say)
    ours = known(store)
    orphans, young, unknown, kept = [], [], [], []
    for thing in found:
        name = ours.get(thing.order)
        if thing.condition == "whole" and name is None:
            unknown.append(thing)
        elif thing.condition in ("whole", "in use") or (name is not None and _busy(store, name)):
            kept.append(thing)
        elif name is None and thing.kind != "security group" and thing.age < grace:
            young.append(thing)
        else:
            orphans.append(thing)
    return Survey(tuple(orphans), tuple(young), tuple(unknown), tuple(kept))


def collect(
    store: Store,
    driver_name: str,
    options: dict[str, str],
    orphans: Sequence[Found],
    say: Say,
    gone: Callable[[Found], None],
) -> None:
    """Removes them, and then what nobody needs any more without them. What is half made here goes as by `rm`."""
    account = account_of(store, driver_name)
    ours = known(store)
    for thing in orphans:
        if thing.kind != "security group":
            name = ours.get(thing.order)
            if name is not None and store.exists(name):
                remove(store, name)
            account.discard(thing, options, say)
            gone(thing)
    places = {thing.place for thing in orphans}
    for thing in account.found(options, say):
        if thing.place in places and thing.condition == "unused":
            account.discard(thing, options, say)
            gone(thing)


def known(store: Store) -> dict[str, str]:
    """The names of this laptop's machines, by the IDs of their orders."""
    orders = {name: store.entry(name).journal.read().order for name in store.names()}
    return {Request.of(order, "").id: name for name, order in orders.items() if order.get("id")}


def _busy(store: Store, name: str) -> bool:
    """Whether a command is working on it at this moment."""
    try:
        with store.lock(name):
            return False
    except Conflict:
        return True
