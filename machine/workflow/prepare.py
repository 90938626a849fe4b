"""Fills the caches that `create` uses, while there is a network: `python -m machine.workflow.prepare DRIVER`."""

from __future__ import annotations

import sys

from machine.drivers import base as drivers
from machine.drivers.base import Say
from machine.errors import MachineError
from machine.store.store import Store
from machine.workflow import bundle
from machine.workflow.bundle import Target


def prepare(store: Store, driver_name: str, say: Say) -> None:
    """Afterwards `create` with this driver needs no package mirror and no package index."""
    driver = drivers.get(driver_name, store)
    driver.check_access()
    python, arch = driver.prepare(say)
    bundle.ensure(Target(python, arch), say)


def main() -> None:
    """For scripts: says what it does on stderr; exit 1 with one sentence when it cannot."""
    try:
        prepare(Store(), sys.argv[1], lambda text: print(text, file=sys.stderr, flush=True))
    except MachineError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
