"""`--change` of import and commit: Dockerfile instructions that alter a configuration.

Source: Docker's reference of `docker commit`, which names the instructions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from hostagent.dockerfile import instructions as it
from hostagent.dockerfile import source
from hostagent.dockerfile.words import expand
from hostagent.errors import Invalid
from hostagent.image.configure import configure
from hostagent.model.image import ImageConfig

_NAMES = (
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
)


def apply_changes(config: ImageConfig, changes: Sequence[str]) -> ImageConfig:
    """The configuration after all `changes`, each of one line or more. Raises Invalid naming the one that is wrong."""
    if not changes:
        return config
    statements = source.read("\n".join(changes).encode()).statements
    for statement in statements:
        if statement.keyword.upper() not in _NAMES:
            raise Invalid(
                f"{statement.keyword.lower()} is not a valid change command: use one of {', '.join(_NAMES)}"
            )
    command_here = False
    for step in [it.instruction(statement) for statement in statements]:
        environment = dict(entry.partition("=")[::2] for entry in config.env)
        config = configure(config, step, partial(expand, environment=environment))
        if isinstance(step, it.Cmd):
            command_here |= bool(step.arguments)
        elif isinstance(step, it.Entrypoint) and not command_here:
            # An entrypoint drops the command that it finds, unless it is one of these instructions'.
            config = replace(config, cmd=None)
    return config
