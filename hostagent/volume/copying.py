"""Copy a directory of an image into a volume: content, owners, modes, times, extended attributes and hard links.

Both sides are walked by fds, a directory at a time, and no symlink is ever followed: the image is hostile, and so may
be a container that has the volume already and changes it meanwhile. Source: what dockerd 26.1 copies.
"""

from __future__ import annotations

import errno
import os
import stat

import msgspec

from hostagent.kernel import constants as c
from hostagent.kernel import libc
from hostagent.kernel.fds import owned
from hostagent.kernel.rootpath import proc_name

CHUNK = 1 << 20
OVERLAY_XATTR = "trusted.overlay."
"""Overlay's own notes on the directories of a layer (kernel docs, overlayfs)."""


class FilesystemMount(msgspec.Struct, frozen=True):
    """Arguments of mount(2)."""

    kind: str
    device: str
    flags: int
    data: str


class Place(msgspec.Struct, frozen=True):
    """A volume's directory on the host, and the path in the image whose content it takes."""

    path: str
    target: str
    must_be_directory: bool = False
    """Asked for without a name: an error over a file; else the volume's being there is enough."""
    copy: bool = True
    filesystem: FilesystemMount | None = None
    """What to mount on the directory before; nothing for most."""


Ranges = tuple[tuple[int, int], ...]
"""(first ID on the host, how many), beginning with ID 0 of the container."""


class Job(msgspec.Struct, frozen=True):
    """The layers of a container's root (`lower` with the top one first), where to mount them, and what to copy; with a
    user namespace, whose IDs the copies get."""

    lower: tuple[str, ...]
    upper: str
    work: str
    mountpoint: str
    places: tuple[Place, ...]
    uids: Ranges = ()
    gids: Ranges = ()


class Answer(msgspec.Struct, frozen=True):
    """`error` "" when all is well."""

    error: str = ""


class Copy:
    """One copy: from the directory of one fd into that of another, which is empty."""

    def __init__(self, source: int, target: int, uids: Ranges = (), gids: Ranges = ()) -> None:
        self._target = target
        self._uids, self._gids = uids, gids
        self._linked: dict[tuple[int, int], str] = {}
        """Inodes with further names -> path of the copy, from the target."""
        self._tree(source, target, "")

    def _tree(self, source: int, target: int, path: str) -> None:
        with os.scandir(source) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            self._entry(source, target, name, f"{path}{name}")
        self._attributes(source, target)
        _times(source, target)

    def _entry(self, source: int, target: int, name: str, path: str) -> None:
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            os.mkdir(name, 0o700, dir_fd=target)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            with (
                owned(os.open(name, flags, dir_fd=source)) as below,
                owned(os.open(name, flags, dir_fd=target)) as made,
            ):
                self._tree(below, made, f"{path}/")
            return
        inode = (status.st_dev, status.st_ino)
        if status.st_nlink > 1 and (first := self._linked.get(inode)):
            self._link(first, target, name)
            return
        if stat.S_ISREG(status.st_mode):
            self._file(source, target, name)
        elif stat.S_ISSOCK(status.st_mode):
            return  # nobody listens on it
        else:
            if stat.S_ISLNK(status.st_mode):
                os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            else:
                os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target)
            os.chown(name, *self._owner(status), dir_fd=target, follow_symlinks=False)
            times = (status.st_atime_ns, status.st_mtime_ns)
            os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)
        if status.st_nlink > 1:
            self._linked[inode] = path

    def _link(self, first: str, target: int, name: str) -> None:
        resolve = c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS
        with owned(libc.openat2(self._target, first, os.O_PATH | os.O_NOFOLLOW, 0, resolve)) as fd:
            os.link(proc_name(fd), name, dst_dir_fd=target, follow_symlinks=True)

    def _file(self, source: int, target: int, name: str) -> None:
        reading = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        writing = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with owned(os.open(name, reading, dir_fd=source)) as old:
            with owned(os.open(name, writing, 0o600, dir_fd=target)) as new:
                while os.sendfile(new, old, None, CHUNK):
                    pass
                self._attributes(old, new)
                _times(old, new)

    def _attributes(self, source: int, target: int) -> None:
        status = os.fstat(source)
        os.fchown(target, *self._owner(status))
        for name in os.listxattr(source):
            if name.startswith(OVERLAY_XATTR):
                continue
            try:
                os.setxattr(target, name, os.getxattr(source, name))
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:  # the volume's file system has none of this kind
                    raise
        os.fchmod(target, stat.S_IMODE(status.st_mode))  # after chown, which clears set-user-ID

    def _owner(self, status: os.stat_result) -> tuple[int, int]:
        return shifted(status.st_uid, self._uids), shifted(status.st_gid, self._gids)


def shifted(number: int, ranges: Ranges) -> int:
    """The host's ID of one in the container. OSError for one that the container cannot have."""
    inside = number
    for first, count in ranges:
        if inside < count:
            return first + inside
        inside -= count
    if ranges:
        raise OSError(
            errno.EOVERFLOW, f"the image has a file of ID {number}, which the user namespace has not"
        )
    return number


def _times(source: int, target: int) -> None:
    status = os.fstat(source)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
