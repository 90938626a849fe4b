"""An open SSH connection: commands, and channels for those who build on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from machine.errors import CommandFailed, Unavailable
from machine.model.machine import Machine
from machine.ssh.streamlocal import settle_all
from machine.ssh.turns import Turns
from machine.ssh.wire import Wire

if TYPE_CHECKING:
    import paramiko

_PIECE = 64 * 1024


@dataclass(frozen=True)
class Completed:
    """A command that ended: exit status (0-255; -1 killed or cut off) and what it wrote."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode(errors="replace").strip()


class Connection:
    """Made by `machine.ssh.connect.connect`; as a context manager it closes its sockets and threads."""

    def __init__(self, machine: Machine, session: Any, wire: Wire | None, hops: Sequence[Any] = ()) -> None:
        self.machine = machine
        self._session = session
        self._wire = wire
        self._hops = hops

    @property
    def transport(self) -> paramiko.Transport:
        """For opening channels (machine.ssh.streamlocal, the keeper)."""
        transport: paramiko.Transport = self._session.transport
        return transport

    @property
    def alive(self) -> bool:
        return bool(self._session.is_connected)

    @property
    def last_heard(self) -> float | None:
        """time.monotonic() of the last bytes from the host; None (not known) with a ProxyCommand."""
        return self._wire.last_heard if self._wire is not None else None

    def run(
        self,
        command: str,
        *,
        stdin: bytes | Iterable[bytes] = b"",
        check: bool = True,
        timeout: float = 60.0,
        on_output: Callable[[bytes], None] | None = None,
    ) -> Completed:
        """Runs `command` in the login shell of the host and waits at most `timeout` seconds for its end.

        `on_output` gets pieces of stdout as they come. With `check` a status other than 0 raises
        CommandFailed. Unavailable: too slow, or the connection broke.
        """
        deadline = time.monotonic() + timeout
        channel = self._open(timeout)
        turns = Turns(channel)
        stderr = bytearray()
        helpers = [
            threading.Thread(target=_feed, args=(turns, stdin), daemon=True),
            threading.Thread(target=_collect, args=(channel, stderr), daemon=True),
        ]
        stdout = bytearray()
        try:
            channel.exec_command(command)
            for helper in helpers:
                helper.start()
            while True:
                channel.settimeout(max(0.01, deadline - time.monotonic()))
                piece = channel.recv(_PIECE)
                if not piece:
                    break
                stdout += piece
                if on_output is not None:
                    on_output(piece)
            helpers[1].join(max(0.01, deadline - time.monotonic()))
            if not channel.status_event.wait(max(0.01, deadline - time.monotonic())):
                raise TimeoutError
        except TimeoutError:
            raise Unavailable(f"{self._named(command)} did not end within {timeout:g} s") from None
        except (OSError, EOFError, _ssh_exception()) as error:
            raise Unavailable(
                f"the connection to {self.machine.name} broke: {str(error) or 'closed'}"
            ) from error
        finally:
            _close(turns)
        completed = Completed(channel.exit_status, bytes(stdout), bytes(stderr))
        if completed.status == -1 and not self.alive:
            raise Unavailable(f"the connection to {self.machine.name} broke while {self._named(command)} ran")
        if check and completed.status != 0:
            output = completed.stderr.decode(errors="replace").strip()
            last = output.splitlines()[-1] if output else "no output"
            raise CommandFailed(
                f"{self._named(command)} ended with status {completed.status}: {last}",
                completed.status,
                output,
            )
        return completed

    def close(self) -> None:
        transport = self._session.transport
        self._session.client.close()
        if transport is not None:
            settle_all(transport)
        if self._wire is not None:
            self._wire.close()
        for hop in self._hops:
            hop.client.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, timeout: float) -> paramiko.Channel:
        try:
            return self.transport.open_session(timeout=timeout)
        except (OSError, EOFError, _ssh_exception()) as error:
            raise Unavailable(
                f"the connection to {self.machine.name} broke: {str(error) or 'closed'}"
            ) from error

    def _named(self, command: str) -> str:
        first = command.strip().splitlines()[0] if command.strip() else command
        return f"`{first if len(first) <= 60 else first[:57] + '...'}` on {self.machine.name}"


def _ssh_exception() -> type[Exception]:
    import paramiko

    return paramiko.SSHException


def _close(turns: Turns) -> None:
    try:
        turns.close()
    except (OSError, EOFError, _ssh_exception()):
        return  # with its connection


def _feed(turns: Turns, stdin: bytes | Iterable[bytes]) -> None:
    """Thread: writes the command's stdin. A command may end without reading it: that is its own affair."""
    try:
        for piece in (stdin,) if isinstance(stdin, bytes) else stdin:
            # paramiko copies what is left after each packet of 32 KiB: cubes of sugar, not the whole loaf.
            for start in range(0, len(piece), _PIECE):
                turns.send(piece[start : start + _PIECE])
        turns.end()
    except (OSError, EOFError, _ssh_exception()):
        return


def _collect(channel: paramiko.Channel, into: bytearray) -> None:
    """Thread: gathers stderr, so that a full window there never stops stdout."""
    try:
        while piece := channel.recv_stderr(_PIECE):
            into += piece
    except (OSError, _ssh_exception()):
        return
