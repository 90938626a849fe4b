"""What comes before the agent on a host that we did not make: look at it, and install what it lacks."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from cloud_init.render import packages
from machine.drivers.base import Say
from machine.errors import CommandFailed, Denied, MachineError, Unsupported
from machine.model.machine import Machine
from machine.workflow.root import as_root
from machine.workflow.session import Session

if TYPE_CHECKING:
    from machine.ssh.connection import Connection

# Keys of the record's driver_data.
MISSING: Final = "missing packages"  # when we came; installed by us
FOUND_ENGINE: Final = "engine found"  # the version that was there before us; empty: none
_INSTALL_SECONDS: Final = 1800.0  # the host's own upgrade may hold the locks


@dataclass(frozen=True)
class InspectStep:
    """Whether the engine can live there. Nothing is changed."""

    session: Session
    name: str = "host inspected"

    def describe(self) -> str:
        return "ask the host for its distribution, systemd, sudo, packages and engine; change nothing"

    def execute(self, machine: Machine, say: Say) -> Machine:
        connection = self.session.connection(machine, say)
        said = _script(connection, "sh -s", "inspect.sh", packages("existing"), 60).decode(errors="replace")
        facts = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        check(machine, facts)
        say(facts["os"])
        data = {MISSING: facts["missing"], FOUND_ENGINE: facts.get("engine", "")}
        # Asked again after a death further on, it would take our own work for what was there before.
        return replace(machine, driver_data={**data, **machine.driver_data})

    def undo(self, machine: Machine, say: Say) -> None:
        """Nothing was changed."""


def check(machine: Machine, facts: dict[str, str]) -> None:
    """Raises Unsupported or Denied, with what to do, if the engine cannot be put on the host of these facts."""
    name, found = machine.name, facts["os"]
    if "root" not in facts:
        raise Denied(
            f"{machine.user} is not root on {name} and has no sudo without a password: log in as root, or add there "
            f"(visudo):  {machine.user} ALL=(ALL) NOPASSWD:ALL"
        )
    if "systemd" not in facts:
        raise Unsupported(
            f"{name} ({found}) is not run by systemd, which has to keep the engine: use Debian 12 or newer"
        )
    if facts["missing"] and "apt" not in facts:
        raise Unsupported(
            f"{name} ({found}) is no Debian or Ubuntu, so what it lacks cannot be installed from here. "
            f"Use Debian 12, Ubuntu 24.04 or newer, or install there what Debian calls {facts['missing']}"
        )


@dataclass(frozen=True)
class PackagesStep:
    """The few packages that the engine needs and the host lacks."""

    session: Session
    name: str = "packages"

    def describe(self) -> str:
        return f"install those of {', '.join(packages('existing'))} that are missing, by apt-get"

    def execute(self, machine: Machine, say: Say) -> Machine:
        missing = machine.driver_data[MISSING].split()
        if not missing:
            say("all there")
            return machine
        say(f"installing {' '.join(missing)}")
        connection = self.session.connection(machine, say)
        try:
            _script(connection, as_root(machine, "sh -s"), "packages.sh", missing, _INSTALL_SECONDS)
        except CommandFailed as error:
            raise MachineError(
                f"{machine.name} could not install {' '.join(missing)}: {error.output or error}"
            ) from error
        return machine

    def undo(self, machine: Machine, say: Say) -> None:
        """They stay: others may have come to need them."""


def _script(connection: Connection, shell: str, name: str, arguments: Sequence[str], timeout: float) -> bytes:
    """Runs host/NAME there; its output."""
    program = files("machine.workflow").joinpath("host", name).read_bytes()
    return connection.run(f"{shell} {shlex.join(arguments)}", stdin=program, timeout=timeout).stdout
