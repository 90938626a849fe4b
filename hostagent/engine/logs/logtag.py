"""`--log-opt tag=…`: a template over what is known of a container. Pure."""

from __future__ import annotations

import re

from hostagent.engine import merge
from hostagent.engine.container import Container
from hostagent.errors import Invalid

_WORD = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")


def render(template: str, container: Container) -> str:
    """Docker's fields in `{{.Name}}` form. Invalid for other fields, and for all else that Go's templates can do."""
    path, *arguments = merge.command(container.config)
    fields = {
        "ID": container.id[:12],
        "FullID": container.id,
        "ContainerID": container.id,
        "Name": container.name,
        "ContainerName": f"/{container.name}",
        "ImageID": container.image_id[:12],
        "ImageFullID": container.image_id,
        "ContainerImageID": container.image_id,
        "ImageName": container.config.image,
        "ContainerImageName": container.config.image,
        "Command": " ".join((path, *arguments)),
        "ContainerEntrypoint": path,
        "DaemonName": "docker",
    }

    def value(match: re.Match[str]) -> str:
        try:
            return fields[match[1]]
        except KeyError:
            known = ", ".join(f"{{{{.{name}}}}}" for name in fields)
            raise Invalid(f"log-opt tag: {match[0]} is not known: use {known}") from None

    text = _WORD.sub(value, template)
    if "{{" in _WORD.sub("", template):
        raise Invalid(f"log-opt tag: only fields can be used, as {{{{.Name}}}}, not {template!r}")
    return text
