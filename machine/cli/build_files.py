"""`pymachine build -o type=tar|local`: the files of an image, brought here."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from machine.cli.files import write_archive
from machine.errors import MachineError

if TYPE_CHECKING:
    from machine.cli.build_words import Output
    from machine.client.docker import DockerClient


def bring(client: DockerClient, image: str, result: Output) -> None:
    """Its layers come as `save` gives them and are laid on top of each other here."""
    from machine.client import archive
    from machine.client.flatten import flatten

    with tempfile.TemporaryFile() as file:
        for piece in client.images.save([image]):
            file.write(piece)
        if result.kind == "tar":
            write_archive(None if result.destination == "-" else result.destination, lambda: flatten(file))
            return
        try:
            os.makedirs(result.destination, exist_ok=True)
        except OSError as error:
            raise MachineError(f"cannot make {result.destination}: {error.strerror}") from error
        archive.unpack(flatten(file), result.destination, rename=None, owners=os.geteuid() == 0)
