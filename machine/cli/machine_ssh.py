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
    show_config: Annotated[
        bool,
        typer.Option(
            "--config",
            help="print lines for ~/.ssh/config instead: ssh, scp and DOCKER_HOST=ssh://MACHINE then work alone",
            rich_help_panel="Output",
        ),
    ] = False,
) -> None:
    """Log in to a machine, or run a command on it; exits with its code.

    pymachine ssh dev1 -- journalctl -u pymachine -n 20
    pymachine ssh --config dev1 >> ~/.ssh/config; DOCKER_HOST=ssh://dev1 docker ps
    """
    import subprocess

    from machine.errors import Unsupported
    from machine.store.store import Store

    record = Store().get(machine)
    if show_config:
        print(config(record), end="")
        return
    sys.stdout.flush()
    with tempfile.NamedTemporaryFile("w", prefix="pymachine-known-") as known:
        known.write(known_hosts(record))
        known.flush()
        try:
            # Waited for, not exec'ed: the file with the host key must outlive the handshake, and no longer.
            with _keyboard_is_theirs():
                words = arguments(record, known.name, _without_dashes(command or []))
                code = subprocess.run(words, check=False).returncode
        except FileNotFoundError:
            raise Unsupported("there is no ssh program here: install openssh-client") from None
    raise typer.Exit(code if code >= 0 else 128 - code)


def _without_dashes(command: list[str]) -> list[str]:
    """`ssh dev1 -- ls -l`: after the machine's name the dashes are passed on to us like any other word."""
    return command[1:] if command[:1] == ["--"] else command


def known_hosts(machine: Machine) -> str:
    """Lines for UserKnownHostsFile; the alias makes them independent of address and port."""
    return "".join(f"{machine.name} {key}\n" for key in machine.host_keys)


def arguments(machine: Machine, known: str, command: list[str]) -> list[str]:
    """The ssh command line. One word is passed as it is (a shell line), several are quoted, as a person means them."""
    words = ["ssh", "-p", str(machine.port), "-l", machine.user]
    options = _only_known_keys(machine, known) | {"LogLevel": "ERROR"}
    if machine.identity_file is not None:
        words += ["-i", os.path.expanduser(machine.identity_file)]
        options["IdentitiesOnly"] = "yes"
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]
    words += ["--", machine.address]
    if command:
        words.append(command[0] if len(command) == 1 else shlex.join(command))
    return words


def config(machine: Machine) -> str:
    """What ssh_config(5) has to say for ssh to reach it without us, by its name, and no other host in its place."""
    lines = {
        "HostName": machine.address,
        "Port": str(machine.port),
        "User": machine.user,
        **_only_known_keys(machine, os.devnull),
        # OpenSSH 8.5: no file that could be forgotten when the machine goes.
        "KnownHostsCommand": f"/bin/echo {machine.name} {machine.host_keys[0]}",
    }
    if machine.identity_file is not None:
        lines |= {"IdentityFile": f'"{os.path.expanduser(machine.identity_file)}"', "IdentitiesOnly": "yes"}
    return f"Host {machine.name}\n" + "".join(f"  {key} {value}\n" for key, value in lines.items())


def _only_known_keys(machine: Machine, known: str) -> dict[str, str]:
    return {
        "HostKeyAlias": machine.name,
        "UserKnownHostsFile": known,
        "GlobalKnownHostsFile": os.devnull,
        "StrictHostKeyChecking": "yes",
        "CheckHostIP": "no",
        "UpdateHostKeys": "no",
    }


@contextlib.contextmanager
def _keyboard_is_theirs() -> Iterator[None]:
    """Ctrl-C goes to the far program through ssh, and must not end us before it."""
    # A handler, not SIG_IGN, which ssh would inherit.
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
