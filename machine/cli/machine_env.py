"""`pymachine env`: points docker clients at a machine."""

from __future__ import annotations

import os
from typing import Annotated, Final

import typer

from machine.cli.options import MaybeMachineName

_HOURS: Final = 12.0
_VARIABLES: Final = ("DOCKER_HOST", "PYMACHINE_MACHINE")
# Left by docker-machine or another context, these would send a client elsewhere, or make it want TLS.
_IN_THE_WAY: Final = ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONTEXT")


def env(
    ctx: typer.Context,
    machine: MaybeMachineName = None,
    shell: Annotated[
        str | None,
        typer.Option("--shell", metavar="SHELL", help="bash, zsh, sh or fish", rich_help_panel="Output"),
    ] = None,
    unset: Annotated[
        bool, typer.Option("-u", "--unset", help="take it back", rich_help_panel="What")
    ] = False,
) -> None:
    """Print what points a docker client at a machine.

    eval "$(pymachine env dev1)"; docker ps
    eval "$(pymachine env --unset)"
    """
    from machine.cli import target

    chosen = shell_of(shell)
    if unset:
        print("\n".join(unset_lines(chosen)))
        return
    from machine.client.keeper_start import ensure_keeper

    record = target.machine(ctx, machine)
    # A client that was pointed here may come back hours later: the socket must still be there.
    socket = ensure_keeper(record, keep_for=_HOURS * 3600, ask=target.ask_passphrase)
    settings = {"DOCKER_HOST": f"unix://{socket}", "PYMACHINE_MACHINE": record.name}
    command = f"pymachine env {record.name}"
    print("\n".join(set_lines(chosen, settings, command)))


def shell_of(name: str | None) -> str:
    """`sh` (bash, zsh, dash, ksh as well) or `fish`; from $SHELL when not said. Raises Usage."""
    from machine.errors import Usage

    known = {"bash": "sh", "zsh": "sh", "sh": "sh", "dash": "sh", "ksh": "sh", "fish": "fish"}
    if name is None:
        return known.get(os.path.basename(os.environ.get("SHELL", "sh")), "sh")
    if name not in known:
        raise Usage(f'unknown shell "{name}": bash, zsh, sh or fish')
    return known[name]


def set_lines(shell: str, settings: dict[str, str], command: str) -> list[str]:
    """Lines to be evaluated; the last one, a comment, says how."""
    stale = [name for name in _IN_THE_WAY if name in os.environ]
    if shell == "fish":
        lines = [f"set -gx {name} {_fish_quoted(value)};" for name, value in settings.items()]
        return [*lines, *(f"set -e {name};" for name in stale), f"# {command} | source"]
    from shlex import quote

    lines = [f"export {name}={quote(value)}" for name, value in settings.items()]
    return [*lines, *(f"unset {name}" for name in stale), f'# eval "$({command})"']


def unset_lines(shell: str) -> list[str]:
    if shell == "fish":
        return [f"set -e {name};" for name in _VARIABLES]
    return [f"unset {name}" for name in _VARIABLES]


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
