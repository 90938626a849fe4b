"""What comes before anything is made: an order is checked, settled, and its price agreed to, once for many machines."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from machine.drivers import base as drivers
from machine.drivers.account import Found, Quote
from machine.drivers.base import Ask, Driver
from machine.errors import Conflict, Unsupported, Usage
from machine.model.machine import check_name
from machine.model.registries import NONE, Registries
from machine.store.store import Entry, Store
from machine.workflow.request import Request


@dataclass(frozen=True)
class Offer:
    """Of the machines that are to be made anew."""

    names: tuple[str, ...]
    quote: Quote
    ttl: tuple[str, float] | None = None  # as typed, in seconds

    @property
    def total(self) -> Decimal | None:
        """US dollars until they end by themselves."""
        if self.hourly is None or self.ttl is None:
            return None
        return (self.hourly * Decimal(self.ttl[1]) / 3600).quantize(Decimal("0.01"))

    @property
    def hourly(self) -> Decimal | None:
        return None if self.quote.hourly is None else self.quote.hourly * len(self.names)


_SHORTEST: Final = 60.0  # seconds: by then it is made
_LONGEST: Final = 366 * 86400.0
Approve = Callable[[Offer], bool]


@dataclass(frozen=True)
class Agreed:
    """`request` is settled; machines that an earlier command began go on with the order of that one."""

    driver: Driver
    request: Request
    names: tuple[str, ...]


def agree(
    store: Store,
    driver_name: str,
    names: Sequence[str],
    options: dict[str, str] | None = None,
    *,
    registries: Registries = NONE,
    keys: Sequence[str] | None = None,
    ttl: tuple[str, float] | None = None,
    ask: Ask = lambda question: False,
    approve: Approve = lambda offer: True,
) -> Agreed:
    """Raises Usage, Unsupported, Conflict, Denied; nothing is made. `keys` None: one's own, if there is an account.

    `ttl`: as it was typed, and in seconds.
    """
    for name in names:
        check_name(name)
    if doubled := {name for name in names if names.count(name) > 1}:
        raise Usage(f"{', '.join(sorted(doubled))} is named twice")
    driver = drivers.get(driver_name, store)
    request = Request(driver_name, options or {}, registries, tuple(keys or ()))
    driver.check_access()
    if ttl is not None:
        request = _ending(driver, request, *ttl)
    fresh = []
    for name in names:
        admitted = admit(store, store.entry(name), request)
        driver.check_order(admitted.options)
        if not admitted.id:
            fresh.append(name)
    if fresh:
        request = replace(request, options=driver.settle(request.options, ask))
        if driver.account is not None:
            if keys is None:
                request = replace(request, keys=own_keys())
            _check_free(driver_name, fresh, driver.account.found(request.options, lambda text: None))
            if not approve(Offer(tuple(fresh), driver.account.quote(request.options), ttl)):
                raise Usage("not agreed to: nothing was made")
    return Agreed(driver, request, tuple(names))


def admit(store: Store, entry: Entry, request: Request) -> Request:
    """What to make. Raises Conflict unless the name is free, or belongs to the same request, half done."""
    history = entry.journal.read()
    if history.complete:
        machine = store.get(entry.name)
        raise Conflict(
            f'a machine "{entry.name}" exists ({machine.driver}, made {machine.created[:16].replace("T", " ")} UTC). '
            f"Choose another name, or:  pymachine rm {entry.name}"
        )
    if history.removing:
        raise Conflict(f'"{entry.name}" is half removed. Finish that first:  pymachine rm {entry.name}')
    if not history.order:
        return request
    begun = Request.of(history.order, request.driver)
    if not request.part_of(begun):
        raise Conflict(
            f'"{entry.name}" was begun otherwise. Finish that:  {begun.command(entry.name)}     '
            f"or undo it:  pymachine rm {entry.name}"
        )
    return begun


def _ending(driver: Driver, request: Request, typed: str, seconds: float) -> Request:
    """With the moment at which its machines end. Unsupported: the driver cannot keep that."""
    if not driver.abilities.ends_itself:
        raise Unsupported(
            f"the {driver.name} driver has no hosts that end by themselves, so --ttl cannot be kept: leave it out, and "
            "remove the machine when it is no longer needed (pymachine rm)"
        )
    if not _SHORTEST <= seconds <= _LONGEST:
        raise Usage(f"--ttl {typed}: a machine can live for one minute to a year")
    ends = datetime.now(UTC) + timedelta(seconds=seconds)
    return replace(request, ttl=typed, ends=ends.isoformat(timespec="seconds"))


def _check_free(driver_name: str, names: Sequence[str], found: Sequence[Found]) -> None:
    """In the account as here: two machines of one name would be taken for one another."""
    for thing in found:
        if thing.kind != "machine" or thing.name not in names:
            continue
        by = f"{thing.id} in {thing.place}, of {thing.by}"
        if thing.condition == "whole":
            raise Conflict(
                f'a machine "{thing.name}" exists ({by}). Choose another name, or take it over:  '
                f"pymachine adopt {driver_name} {thing.name}"
            )
        raise Conflict(
            f'a machine "{thing.name}" is half made ({by}, {thing.age / 60:.0f} minutes old). Choose another name, or '
            f"remove it:  pymachine gc {driver_name}"
        )


def own_keys() -> tuple[str, ...]:
    """The person's public keys: those of ~/.ssh, and of the agent. So they come in from another laptop too."""
    import paramiko

    from machine.ssh.keys import public_keys

    found = public_keys(os.path.expanduser("~/.ssh"))
    agent = paramiko.Agent()
    try:
        found += [f"{key.get_name()} {key.get_base64()}" for key in agent.get_keys()]
    finally:
        agent.close()
    return tuple({" ".join(line.split()[:2]): line for line in found}.values())
