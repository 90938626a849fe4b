"""A build's new files become a layer: what only mounts have put there goes; the rest is hashed."""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from collections.abc import Iterator, Sequence

from hostagent.image import jail
from hostagent.image.buildjobs import Finished, FinishLayer
from hostagent.image.overlaydiff import difference, written
from hostagent.image.pack import Packer
from hostagent.kernel import constants as c
from hostagent.kernel import libc
from hostagent.kernel.fds import owned
from hostagent.kernel.mounts import mount_overlay
from hostagent.kernel.rootpath import open_in_root, proc_name

_INSIDE = c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS


def finish(job: FinishLayer) -> Finished:
    """In a process of its own, which afterwards sees the layer only."""
    if job.stubs:
        _remove_stubs(job)
    needless = difference(job.upper, job.lower).needless
    size = written(job.upper)
    jail.enter(job.upper)
    for path in sorted(needless, key=lambda name: name.count(b"/"), reverse=True):
        _remove(b"/" + path)
    empty = not os.listdir("/")
    if job.epoch >= 0:
        _clamp(job.epoch * 10**9)
    digest = hashlib.sha256()
    Packer(digest.update).run()
    return Finished(f"sha256:{digest.hexdigest()}", size, empty)


def _remove_stubs(job: FinishLayer) -> None:
    """Places that were made for mounts, and the directories above them, if nothing came into them."""
    jail.own_namespace()
    places = sorted(
        {path for path in _places(job) if path != "/"}, key=lambda path: path.count("/"), reverse=True
    )
    with owned(os.open(job.upper, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as upper:
        for path in places:
            _remove_stub(upper, path)


def _places(job: FinishLayer) -> Iterator[str]:
    """What the layers below do not have of the mounts' paths, symlinks resolved."""
    if not job.lower:
        for path in job.stubs:
            yield from _prefixes("/", [name for name in path.split("/") if name])
        return
    with owned(mount_overlay(job.mountpoint, job.lower)) as root:
        for path in job.stubs:
            yield from _missing(root, job.mountpoint, path)
    libc.umount2(job.mountpoint, c.MNT_DETACH)


def _missing(root: int, mountpoint: str, path: str) -> list[str]:
    there = "/"
    names = [name for name in path.split("/") if name]
    for number, name in enumerate(names):
        try:
            with owned(open_in_root(root, posixpath.join(there, name), os.O_PATH)) as fd:
                there = os.readlink(proc_name(fd)).removeprefix(mountpoint) or "/"
        except (FileNotFoundError, NotADirectoryError):
            return _prefixes(there, names[number:])
    return []


def _prefixes(top: str, names: Sequence[str]) -> list[str]:
    return [posixpath.join(top, *names[:count]) for count in range(1, len(names) + 1)]


def _remove_stub(upper: int, path: str) -> None:
    folder, name = posixpath.split(path.lstrip("/"))
    try:
        parent = libc.openat2(upper, (folder or ".").encode(), os.O_PATH | os.O_DIRECTORY, 0, _INSIDE)
    except OSError:
        return  # it is not there any more, or something else is
    with owned(parent):
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                os.rmdir(name, dir_fd=parent)
            elif stat.S_ISREG(status.st_mode) and not status.st_size:
                os.unlink(name, dir_fd=parent)
        except OSError:
            return  # removed meanwhile, or with something in it: then it is the step's


def _remove(path: bytes) -> None:
    """A mount point's place, or a directory that holds nothing more."""
    if stat.S_ISDIR(os.lstat(path).st_mode):
        os.rmdir(path)
    else:
        os.unlink(path)


def _clamp(limit: int) -> None:
    """No modification time in this process's root is later than `limit`, ns."""
    for top, folders, files in os.walk("/", topdown=False):
        for name in (*files, *folders):
            _clamp_one(posixpath.join(top, name), limit)
    _clamp_one("/", limit)


def _clamp_one(path: str, limit: int) -> None:
    if os.lstat(path).st_mtime_ns > limit:
        os.utime(path, ns=(limit, limit), follow_symlinks=False)
