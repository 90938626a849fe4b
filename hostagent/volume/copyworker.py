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

import msgspec

from hostagent.kernel import constants as c
from hostagent.kernel import libc
from hostagent.kernel.fds import owned
from hostagent.kernel.mounts import mount_overlay
from hostagent.kernel.rootpath import open_in_root
from hostagent.volume.copying import Answer, Copy, FilesystemMount, Job, Place
from hostagent.volume.directory import is_empty


def perform(job: Job) -> Answer:
    """Fill the places in order; stops at the first that cannot be."""
    libc.unshare(c.CLONE_NEWNS)
    libc.mount(None, "/", None, c.MS_REC | c.MS_PRIVATE)
    with owned(mount_overlay(job.mountpoint, job.lower, job.upper, job.work)) as root:
        for place in job.places:
            try:
                error = _fill(root, place, job)
            except (OSError, RecursionError) as failure:
                error = f"failed to populate volume: {failure}"
            if error:
                return Answer(error)
    return Answer()


def _fill(root: int, place: Place, job: Job) -> str:
    """What is wrong, "" for nothing. A path that the image does not have leaves the volume as it is."""
    try:
        source = open_in_root(root, place.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    with owned(source):
        if place.filesystem is not None and place.copy and (error := _mount(place.filesystem, place.target)):
            return f"failed to populate volume: {error}"
        if not stat.S_ISDIR(os.fstat(source).st_mode):
            if place.must_be_directory:
                return f"cannot mount volume over existing file, file exists {place.path}"
            return f"source {place.path} is not directory"
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        with owned(os.open(place.target, flags)) as target:
            if place.copy and is_empty(target):
                Copy(source, target, job.uids, job.gids)
    return ""


def _mount(wanted: FilesystemMount, target: str) -> str:
    """What is wrong, "" for nothing, in dockerd's words. The mount ends with this process."""
    try:
        libc.mount(wanted.device, target, wanted.kind, wanted.flags, wanted.data)
    except OSError as failure:
        details = f", flags: {wanted.flags:#x}" if wanted.flags else ""
        details += f", data: {wanted.data}" if wanted.data else ""
        return (
            f"error while mounting volume '{target}': failed to mount local volume: "
            f"mount {wanted.device}:{target}{details}: {os.strerror(failure.errno or 0).lower()}"
        )
    return ""


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
