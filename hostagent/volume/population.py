"""The daemon's side of filling new volumes from an image: what it does itself, and who copies the rest."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack

import msgspec

from hostagent.errors import EngineError
from hostagent.kernel.fds import owned
from hostagent.volume.copying import OVERLAY_XATTR, Answer, Copy, Job, Place, Ranges
from hostagent.volume.directory import is_empty

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPAQUE = f"{OVERLAY_XATTR}opaque"

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


def fill_at_once(
    places: Sequence[Place], lower: Sequence[str], uids: Ranges, gids: Ranges
) -> tuple[Place, ...]:
    """Fill what takes no time, and give those places that want `populate`. Most volumes are full already, or new to the
    image, or lie over an empty directory of one layer, from which they take owner and mode."""
    later = []
    for place in places:
        if not place.must_be_directory and not is_empty(place.target):
            continue
        with _Found(lower, place.path) as found:
            if not found.sure or (found.directories and place.filesystem is not None):
                later.append(place)
            elif found.directories and place.copy and is_empty(place.target):
                with owned(os.open(place.target, _DIRECTORY)) as target:
                    Copy(found.directories[0], target, uids, gids)
    return tuple(later)


def may_exist(path: str, lower: Sequence[str]) -> bool:
    """Whether the path may be in one of the layers; False is sure."""
    with _Found(lower, path) as found:
        return bool(found.directories) or not found.sure


class _Found(ExitStack):
    """The directories that a path is in the layers, the top one first, as fds.

    `sure`: there is nothing else to it, and they are empty. Not so with a symlink, a file or a whiteout on the way, or
    with a directory that hides what is below it (overlay's "opaque"): then overlay itself has to say what is there.
    """

    def __init__(self, lower: Sequence[str], path: str) -> None:
        super().__init__()
        self.directories: list[int] = []
        self.sure = True
        for layer in lower:
            self._look(layer, path)

    def _look(self, layer: str, path: str) -> None:
        fd = self.enter_context(owned(os.open(layer, _DIRECTORY)))
        for name in path.strip("/").split("/"):
            try:
                fd = self.enter_context(owned(os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)))
            except FileNotFoundError:
                return
            except OSError:  # no directory, or a symlink
                self.sure = False
                return
            if _OPAQUE in os.listxattr(fd):
                self.sure = False
        self.directories.append(fd)
        self.sure = self.sure and is_empty(fd)
