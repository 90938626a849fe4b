"""One SSH connection that the steps of a workflow share."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from machine.errors import Unavailable
from machine.model.machine import Machine

if TYPE_CHECKING:
    from machine.drivers.base import Driver, Say
    from machine.ssh.connection import Connection


class Session:
    """A context manager that closes what was opened. Connections are always strict about the host key."""

    def __init__(self) -> None:
        self._connection: Connection | None = None

    def connection(self, machine: Machine, say: Say, *, deadline: float = 60.0) -> Connection:
        """The open connection, or a new one as soon as the host lets us in (at most `deadline` seconds)."""
        return self._open(machine, say, deadline, None)

    def first(self, machine: Machine, driver: Driver, say: Say, *, deadline: float) -> Connection:
        """The same for a host that is booting: its driver is asked whether it still makes sense to wait."""
        try:
            return self._open(machine, say, deadline, lambda: driver.check_booting(machine))
        except Unavailable as error:
            console = driver.console(machine)
            raise Unavailable(
                f"{error}\nits console ends with:\n{console}" if console else str(error)
            ) from error

    def _open(
        self, machine: Machine, say: Say, deadline: float, check: Callable[[], None] | None
    ) -> Connection:
        if self._connection is None or not self._connection.alive:
            from machine.ssh.wait import wait_for_ssh

            self._connection = wait_for_ssh(machine, deadline=deadline, on_wait=say, check=check)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
