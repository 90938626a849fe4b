"""`pymachine ssh`: the system's own ssh, with the host key that we know and nothing else."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from machine.cli.framework import passes_on
from machine.cli.options import MachineName

if TYPE_CHECKING:
    from machine.model.machine import Machine


@passes_on
def ssh(
    machine: MachineName,
    command: Annotated[list[str] | None, typer.Argument(metavar="[COMMAND] [ARG]...")] = None,
) -> None:
    """Log in to a machine, or run a command on it; exits with its code.

    pymachine ssh dev1
    pymachine ssh dev1 -- journalctl -u pymachine -n 20
    """
    import subprocess

    from machine.errors import Unsupported
    from machine.store.store import Store

    record = Store().get(machine)
    sys.stdout.flush()
    with tempfile.NamedTemporaryFile("w", prefix="pymachine-known-") as known:
        known.write(known_hosts(record))
        known.flush()
        try:
            # Waited for, not exec'ed: the file with the host key must outlive the handshake, and no longer.
            with _keyboard_is_theirs():
                code = subprocess.run(arguments(record, known.name, command or []), check=False).returncode
        except FileNotFoundError:
            raise Unsupported("there is no ssh program here: install openssh-client") from None
    raise typer.Exit(code if code >= 0 else 128 - code)


def known_hosts(machine: Machine) -> str:
    """Lines for UserKnownHostsFile; the alias makes them independent of address and port."""
    return "".join(f"{machine.name} {key}\n" for key in machine.host_keys)


def arguments(machine: Machine, known: str, command: list[str]) -> list[str]:
    """The ssh command line. One word is passed as it is (a shell line), several are quoted, as a person means them."""
    words = ["ssh", "-p", str(machine.port), "-l", machine.user]
    options = {
        "HostKeyAlias": machine.name,
        "UserKnownHostsFile": known,
        "GlobalKnownHostsFile": os.devnull,
        "StrictHostKeyChecking": "yes",
        "CheckHostIP": "no",
        "UpdateHostKeys": "no",
        "LogLevel": "ERROR",
    }
    if machine.identity_file is not None:
        words += ["-i", os.path.expanduser(machine.identity_file)]
        options["IdentitiesOnly"] = "yes"
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]
    words += ["--", machine.address]
    if command:
        words.append(command[0] if len(command) == 1 else shlex.join(command))
    return words


@contextlib.contextmanager
def _keyboard_is_theirs() -> Iterator[None]:
    """Ctrl-C goes to the far program through ssh, and must not end us before it."""
    # A handler, not SIG_IGN, which ssh would inherit.
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
