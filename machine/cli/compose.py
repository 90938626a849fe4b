"""`pymachine compose`: the Compose that is installed here, on the chosen machine's engine."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from machine.cli import target
from machine.cli.framework import forwards

_PLUGIN_FOLDERS: Final = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)
"""Where the docker CLI looks for plugins, after the user's own folder."""
_IN_THE_WAY: Final = ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_TLS", "DOCKER_CONTEXT")
"""They would send Compose elsewhere, or make it want TLS."""


@forwards
def compose(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="[COMPOSE OPTION] COMMAND [ARG]...")] = None,
) -> None:
    """Run the Compose that is installed here on a machine; all words are its own.

    pymachine compose up -d
    pymachine -m dev1 compose -f stack.yml logs -f web
    """
    program = find(os.environ)
    socket = target.engine_socket(ctx, None)
    environment = environment_of(socket, target.machine_name(ctx, None))
    sys.stdout.flush()
    os.execve(program, ["docker-compose", *(words or ())], environment)  # noqa: S606  (no shell is meant)


def environment_of(socket: Path, machine: str) -> dict[str, str]:
    """Ours, but for the engine that is meant."""
    found = {name: value for name, value in os.environ.items() if name not in _IN_THE_WAY}
    return found | {"DOCKER_HOST": f"unix://{socket}", "PYMACHINE_MACHINE": machine}


def find(environment: Mapping[str, str]) -> str:
    """Path of Compose v2 if it is here, else of v1. Raises Unsupported, with what to do."""
    for path in _plugins(environment):
        if os.access(path, os.X_OK):
            return path
    if found := shutil.which("docker-compose", path=environment.get("PATH")):
        return found
    from machine.errors import Unsupported

    raise Unsupported(
        "Compose is not installed on this computer, and pymachine has none of its own.\n"
        "Install it:  apt-get install docker-compose     or see  https://docs.docker.com/compose/install"
    )


def _plugins(environment: Mapping[str, str]) -> Iterator[str]:
    own = environment.get("DOCKER_CONFIG") or str(Path(environment.get("HOME", "/")) / ".docker")
    for folder in (f"{own}/cli-plugins", *_PLUGIN_FOLDERS):
        yield f"{folder}/docker-compose"
