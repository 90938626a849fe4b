"""The worker: `python -m hostagent.volume.copyworker`, a Job on stdin, an Answer on stdout.

A process of its own, because it mounts the container's layers in a mount namespace of its own, and because a copy may
take long. It ends with the daemon.
"""

from __future__ import annotations

import os
import resource
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from hostagent.kernel import constants as c
from hostagent.kernel import libc
from hostagent.kernel.fds import owned
from hostagent.kernel.mounts import mount_overlay
from hostagent.kernel.rootpath import open_in_root
from hostagent.volume.copying import Answer, Copy, Job, Place
from hostagent.volume.directory import is_empty

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class _Failed(Exception):
    """With what the client is told."""


def perform(job: Job) -> Answer:
    """Fill the places in order; stops at the first that cannot be."""
    libc.unshare(c.CLONE_NEWNS)
    libc.mount(None, "/", None, c.MS_REC | c.MS_PRIVATE)
    root = mount_overlay(job.mountpoint, job.lower, job.upper, job.work)
    try:
        with owned(root):
            for place in job.places:
                _fill(root, place, job)
    except _Failed as failure:
        return Answer(str(failure))
    except (OSError, RecursionError) as failure:
        return Answer(f"failed to populate volume: {failure}")
    finally:
        # Not left to the end of this process: the container may start, and mount the same, before that is complete.
        libc.umount2(job.mountpoint)
    return Answer()


def _fill(root: int, place: Place, job: Job) -> None:
    """A path that the image does not have leaves the volume as it is."""
    try:
        source = open_in_root(root, place.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return
    with owned(source):
        if not stat.S_ISDIR(os.fstat(source).st_mode):
            if place.must_be_directory:
                raise _Failed(f"cannot mount volume over existing file, file exists {place.path}")
            raise _Failed(f"source {place.path} is not directory")
        if place.copy:
            with _mounted(place), owned(os.open(place.target, _DIRECTORY)) as target:
                if is_empty(target):
                    Copy(source, target, job.uids, job.gids)


@contextmanager
def _mounted(place: Place) -> Iterator[None]:
    """With the volume's file system in its place, where it has one. Raises _Failed in dockerd's words."""
    if place.filesystem is None:
        yield
        return
    wanted, target = place.filesystem, place.target
    try:
        libc.mount(wanted.device, target, wanted.kind, wanted.flags, wanted.data)
    except OSError as failure:
        details = f", flags: {wanted.flags:#x}" if wanted.flags else ""
        details += f", data: {wanted.data}" if wanted.data else ""
        raise _Failed(
            f"failed to populate volume: error while mounting volume '{target}': failed to mount local volume: "
            f"mount {wanted.device}:{target}{details}: {os.strerror(failure.errno or 0).lower()}"
        ) from failure
    try:
        yield
    finally:
        libc.umount2(target)


def main() -> None:
    libc.prctl(c.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.umask(0)
    # Two fds per level of the tree.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    answer = perform(msgspec.json.decode(sys.stdin.buffer.read(), type=Job))
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
