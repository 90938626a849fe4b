"""Fetch what a local machine is made of, before the tests run without a network: `python -m tests.e2e.prepare`."""

from __future__ import annotations

import platform

from machine.drivers import local_rootfs
from machine.workflow import bundle

# Of the local driver's hosts: Debian 12.
PYTHON = "3.11"


def main() -> None:
    """Build the root filesystem and the agent's bundle unless the cache has them."""
    print(local_rootfs.ensure(print))
    print(bundle.ensure(bundle.Target(PYTHON, platform.machine()), print).path)


if __name__ == "__main__":
    main()
