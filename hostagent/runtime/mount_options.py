"""Mount options of an OCI spec: flags, propagation, recursive attributes, and what is left for the file system.

Source: runtime-spec 1.1, config.md, "Linux mount options".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hostagent.kernel import constants as c

SYMLINK_TYPE = "symlink"
"""An extension, a type of "mount": a link at the destination to the source, where there is nothing yet."""

_FLAGS = {
    "async": (0, c.MS_SYNCHRONOUS),
    "atime": (0, c.MS_NOATIME),
    "bind": (c.MS_BIND, 0),
    "defaults": (0, 0),
    "dev": (0, c.MS_NODEV),
    "diratime": (0, c.MS_NODIRATIME),
    "dirsync": (c.MS_DIRSYNC, 0),
    "exec": (0, c.MS_NOEXEC),
    "lazytime": (c.MS_LAZYTIME, 0),
    "loud": (0, c.MS_SILENT),
    "mand": (c.MS_MANDLOCK, 0),
    "noatime": (c.MS_NOATIME, 0),
    "nodev": (c.MS_NODEV, 0),
    "nodiratime": (c.MS_NODIRATIME, 0),
    "noexec": (c.MS_NOEXEC, 0),
    "nolazytime": (0, c.MS_LAZYTIME),
    "nomand": (0, c.MS_MANDLOCK),
    "norelatime": (0, c.MS_RELATIME),
    "nostrictatime": (0, c.MS_STRICTATIME),
    "nosuid": (c.MS_NOSUID, 0),
    "nosymfollow": (c.MS_NOSYMFOLLOW, 0),
    "rbind": (c.MS_BIND | c.MS_REC, 0),
    "relatime": (c.MS_RELATIME, 0),
    "remount": (c.MS_REMOUNT, 0),
    "ro": (c.MS_RDONLY, 0),
    "rw": (0, c.MS_RDONLY),
    "silent": (c.MS_SILENT, 0),
    "strictatime": (c.MS_STRICTATIME, 0),
    "suid": (0, c.MS_NOSUID),
    "symfollow": (0, c.MS_NOSYMFOLLOW),
    "sync": (c.MS_SYNCHRONOUS, 0),
}

PROPAGATION = {
    "private": c.MS_PRIVATE,
    "rprivate": c.MS_PRIVATE | c.MS_REC,
    "shared": c.MS_SHARED,
    "rshared": c.MS_SHARED | c.MS_REC,
    "slave": c.MS_SLAVE,
    "rslave": c.MS_SLAVE | c.MS_REC,
    "unbindable": c.MS_UNBINDABLE,
    "runbindable": c.MS_UNBINDABLE | c.MS_REC,
}

_RECURSIVE = {
    "rro": (c.MOUNT_ATTR_RDONLY, 0),
    "rrw": (0, c.MOUNT_ATTR_RDONLY),
    "rnosuid": (c.MOUNT_ATTR_NOSUID, 0),
    "rsuid": (0, c.MOUNT_ATTR_NOSUID),
    "rnodev": (c.MOUNT_ATTR_NODEV, 0),
    "rdev": (0, c.MOUNT_ATTR_NODEV),
    "rnoexec": (c.MOUNT_ATTR_NOEXEC, 0),
    "rexec": (0, c.MOUNT_ATTR_NOEXEC),
    "rnodiratime": (c.MOUNT_ATTR_NODIRATIME, 0),
    "rdiratime": (0, c.MOUNT_ATTR_NODIRATIME),
    "rrelatime": (c.MOUNT_ATTR_RELATIME, c.MOUNT_ATTR__ATIME),
    "rnoatime": (c.MOUNT_ATTR_NOATIME, c.MOUNT_ATTR__ATIME),
    "rstrictatime": (c.MOUNT_ATTR_STRICTATIME, c.MOUNT_ATTR__ATIME),
    "rnosymfollow": (c.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "rsymfollow": (0, c.MOUNT_ATTR_NOSYMFOLLOW),
}


MOUNT_NAMESPACE_OPTION = "mntns"
"""An extension: `mntns=/proc/PID/ns/mnt` looks the source of a bind up in that mount namespace."""

SUBPATH_OPTION = "subpath"
"""An extension: `subpath=a/b` binds a part of the source, which the way there never leaves."""


@dataclass(frozen=True)
class MountOptions:
    """`flags` are MS_*; `attr_set`/`attr_clr` MOUNT_ATTR_* for the whole tree; `data` goes to the file system."""

    flags: int = 0
    propagation: int = 0
    attr_set: int = 0
    attr_clr: int = 0
    data: tuple[str, ...] = ()

    @property
    def bind(self) -> bool:
        return bool(self.flags & c.MS_BIND)

    def value(self, name: str) -> str | None:
        """What follows `name=` in the file system's options."""
        prefix = f"{name}="
        return next((option[len(prefix) :] for option in self.data if option.startswith(prefix)), None)


def parse(options: Iterable[str]) -> MountOptions:
    flags = propagation = attr_set = attr_clr = 0
    data: list[str] = []
    for option in options:
        if option in _FLAGS:
            add, remove = _FLAGS[option]
            flags = flags & ~remove | add
        elif option in PROPAGATION:
            propagation = PROPAGATION[option]
        elif option in _RECURSIVE:
            add, remove = _RECURSIVE[option]
            attr_set, attr_clr = attr_set & ~remove | add, attr_clr & ~add | remove
        elif option:
            data.append(option)
    return MountOptions(flags, propagation, attr_set, attr_clr, tuple(data))
