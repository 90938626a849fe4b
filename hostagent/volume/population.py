"""The daemon's side of filling new volumes from an image: is there anything to copy, and who copies it."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Sequence
from contextlib import ExitStack

import msgspec

from hostagent.errors import EngineError
from hostagent.kernel.fds import owned
from hostagent.volume.copying import Answer, Job, Place
from hostagent.volume.directory import is_empty

LIMIT = 3600.0
"""Seconds for copying what an image has in the places of a container's volumes."""


async def populate(job: Job) -> None:
    """Copy in a process of its own. Raises EngineError; then a volume may hold a part."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "hostagent.volume.copyworker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(msgspec.json.encode(job)), LIMIT)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if not output:
        raise EngineError(
            f"failed to populate volume: the worker ended with {process.returncode} (out of memory?): try again"
        )
    answer = msgspec.json.decode(output, type=Answer)
    if answer.error:
        raise EngineError(answer.error)


def worth_it(places: Sequence[Place], lower: Sequence[str]) -> tuple[Place, ...]:
    """Those that a copy could find something for. Cheap: most volumes are full already, or new to the image."""
    return tuple(
        place
        for place in places
        if (place.must_be_directory or is_empty(place.target)) and may_exist(place.path, lower)
    )


def may_exist(path: str, lower: Sequence[str]) -> bool:
    """Whether the path may be in one of the layers; False is sure."""
    return any(_may_exist(layer, path) for layer in lower)


def _may_exist(layer: str, path: str) -> bool:
    """Whether the layer has the path, or a symlink on the way to it, which may lead into another layer."""
    with ExitStack() as opened:
        fd = opened.enter_context(owned(os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)))
        for name in path.strip("/").split("/"):
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                return False
            if not stat.S_ISDIR(status.st_mode):
                return True
            below = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            fd = opened.enter_context(owned(below))
    return True
