"""Steps of building a container's file system: each says what it does, then does it (in init, one after another).

All run in the container's own mount namespace before pivot_root, with the host's tree still around: targets are
looked up inside the new root by fd, sources on the host by path. Nothing is ever mounted in the host's namespace.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from hostagent.kernel import constants as c
from hostagent.kernel import libc
from hostagent.kernel.fds import owned
from hostagent.kernel.mounts import mount_overlay
from hostagent.kernel.rootpath import mkdirs_in_root, open_in_root, proc_name, touch_in_root
from hostagent.runtime.mount_options import MountOptions
from hostagent.runtime.program import StartError

_UNMASKABLE = frozenset({errno.ENOENT, errno.ENOTDIR})


@dataclass
class Stage:
    """Where the steps work: `root` is an O_PATH fd of the new root once there is one."""

    root: int = -1
    user_namespace: int = -1
    """An fd of the container's user namespace, while the host's root is still at work."""
    owner: tuple[int, int] = (0, 0)
    """The host's (uid, gid) of the container's root."""
    trees: dict[str, int] = field(default_factory=dict)
    """Detached copies of bind sources by destination, opened before a user namespace was entered."""


class Step(Protocol):
    """`describe` reads after "cannot " in an error message, and by itself in a debug log."""

    def describe(self) -> str: ...

    def execute(self, stage: Stage) -> None: ...


@dataclass(frozen=True)
class Propagate:
    """Decide how far mounts of this namespace travel, before any is made."""

    flags: int

    def describe(self) -> str:
        return "set the propagation of /"

    def execute(self, stage: Stage) -> None:
        libc.mount(None, "/", None, self.flags)


@dataclass(frozen=True)
class IsolateParent:
    """pivot_root and the root's own mount want a private parent where the host's tree stays shared."""

    path: str

    def describe(self) -> str:
        return f"make the mount that holds {self.path} private"

    def execute(self, stage: Stage) -> None:
        path = self.path
        while not os.path.ismount(path):
            path = os.path.dirname(path)
        libc.mount(None, path, None, c.MS_PRIVATE)


@dataclass(frozen=True)
class OverlayRoot:
    """Mount the layers on the root's place."""

    target: str
    lower: tuple[str, ...]
    upper: str | None
    work: str | None
    flags: int = 0
    other: tuple[str, ...] = ()

    def describe(self) -> str:
        return f"mount overlay of {len(self.lower)} layer(s) on {self.target}"

    def execute(self, stage: Stage) -> None:
        if stage.user_namespace >= 0:
            self._shift(stage.user_namespace)
        with _acting_as(stage.owner):
            stage.root = mount_overlay(
                self.target, self.lower, self.upper or "", self.work or "", self.flags, self.other
            )

    def _shift(self, user_namespace: int) -> None:
        """Layers and upper directory on top of themselves, with owners as the user namespace maps them; on disk they
        stay what they are. Overlay wants its upper and work directory on one mount."""
        folders = [*self.lower, *({os.path.dirname(path) for path in (self.upper, self.work) if path})]
        for folder in folders:
            with owned(libc.open_tree(c.AT_FDCWD, folder, c.OPEN_TREE_CLONE)) as tree:
                try:
                    libc.mount_setattr(
                        tree, "", c.AT_EMPTY_PATH, attr_set=c.MOUNT_ATTR_IDMAP, userns_fd=user_namespace
                    )
                except OSError as error:
                    text = (
                        f"the file system of {folder} cannot show other owners ({os.strerror(error.errno or 0)}): a "
                        "user namespace needs Linux 5.19 with ext4, xfs or btrfs there; --userns host does without"
                    )
                    raise StartError("mount", error.errno or 0, text) from None
                libc.move_mount(tree, "", c.AT_FDCWD, folder, c.MOVE_MOUNT_F_EMPTY_PATH)


@contextmanager
def _acting_as(owner: tuple[int, int]) -> Iterator[None]:
    """Overlay keeps its mounter's identity and works on the layers with it: one that they know, with all its rights."""
    if owner == (0, 0):
        yield
        return
    effective, permitted, inheritable = libc.capget()
    libc.setfsids(*owner)
    libc.capset(effective, permitted, inheritable)
    try:
        yield
    finally:
        libc.setfsids(0, 0)
        libc.capset(effective, permitted, inheritable)


@dataclass(frozen=True)
class BindRoot:
    """A root that is a plain directory: bound on itself, since pivot_root wants a mount."""

    target: str

    def describe(self) -> str:
        return f"bind root file system {self.target}"

    def execute(self, stage: Stage) -> None:
        libc.mount(self.target, self.target, None, c.MS_BIND | c.MS_REC)
        stage.root = os.open(self.target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


@dataclass(frozen=True)
class MountFilesystem:
    """A new file system. With `plain` its place must not be reached over a symlink: what later steps trust
    (/proc, /sys) cannot be pointed elsewhere by an image."""

    kind: str
    source: str
    destination: str
    options: MountOptions
    plain: bool = False

    def describe(self) -> str:
        return f"mount {self.kind} on {self.destination}"

    def execute(self, stage: Stage) -> None:
        with owned(mkdirs_in_root(stage.root, self.destination)) as target:
            if self.plain:
                resolve = c.RESOLVE_IN_ROOT | c.RESOLVE_NO_SYMLINKS
                os.close(libc.openat2(stage.root, self.destination, os.O_PATH, 0, resolve))
            data = ",".join(self.options.data)
            libc.mount(self.source, proc_name(target), self.kind, self.options.flags, data)
        if self.options.propagation:
            with owned(open_in_root(stage.root, self.destination, os.O_PATH)) as mounted:
                libc.mount(None, proc_name(mounted), None, self.options.propagation)


@dataclass(frozen=True)
class BindMount:
    """Something of the host's at a place in the root: copied as a detached tree, changed, then moved there."""

    source: str
    destination: str
    recursive: bool
    attr_set: int = 0
    tree_set: int = 0
    tree_clr: int = 0
    propagation: int = 0
    namespace: str | None = None
    """Path of another mount namespace that `source` is looked up in."""
    subpath: str = ""
    """What of the source; containers that write there cannot make it lead out of the source."""

    def describe(self) -> str:
        part = f"/{self.subpath}" if self.subpath else ""
        return f"bind {self.source}{part} to {self.destination}"

    def prepare(self, stage: Stage) -> None:
        """Open the source now, as the host's root, for an `execute` that may not reach it."""
        tree = self._copy()
        stage.trees[self.destination] = tree
        self._change(tree)

    def execute(self, stage: Stage) -> None:
        prepared = stage.trees.pop(self.destination, -1)
        with owned(prepared if prepared >= 0 else self._copy()) as tree:
            directory = stat.S_ISDIR(os.fstat(tree).st_mode)
            make = mkdirs_in_root if directory else touch_in_root
            with owned(make(stage.root, self.destination)) as target:
                if prepared < 0:
                    self._change(tree)
                flags = c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH
                libc.move_mount(tree, "", target, "", flags)

    def _copy(self) -> int:
        if self.namespace is None:
            return self._copy_here()
        with owned(os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)) as own:
            with owned(os.open(self.namespace, os.O_RDONLY | os.O_CLOEXEC)) as theirs:
                libc.setns(theirs, c.CLONE_NEWNS)
            try:
                return self._copy_here()
            finally:
                libc.setns(own, c.CLONE_NEWNS)

    def _copy_here(self) -> int:
        flags = c.OPEN_TREE_CLONE | (c.AT_RECURSIVE if self.recursive else 0)
        if not self.subpath:
            return libc.open_tree(c.AT_FDCWD, self.source, flags)
        with owned(os.open(self.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as source:
            resolve = c.RESOLVE_BENEATH | c.RESOLVE_NO_MAGICLINKS
            with owned(libc.openat2(source, self.subpath, os.O_PATH, 0, resolve)) as part:
                return libc.open_tree(part, "", flags | c.AT_EMPTY_PATH)

    def _change(self, tree: int) -> None:
        here, below = c.AT_EMPTY_PATH, c.AT_EMPTY_PATH | c.AT_RECURSIVE
        if self.attr_set:
            libc.mount_setattr(tree, "", here, attr_set=self.attr_set)
        if self.tree_set or self.tree_clr:
            libc.mount_setattr(tree, "", below, attr_set=self.tree_set, attr_clr=self.tree_clr)
        if self.propagation:
            scope = below if self.propagation & c.MS_REC else here
            libc.mount_setattr(tree, "", scope, propagation=self.propagation & ~c.MS_REC)


@dataclass(frozen=True)
class MakeNode:
    """A device node (or fifo); where the host may not make one, the host's own is bound instead."""

    path: str
    mode: int
    """With the file type."""
    device: int
    uid: int = 0
    gid: int = 0

    def describe(self) -> str:
        return f"make device {self.path}"

    def execute(self, stage: Stage) -> None:
        parent, name = os.path.split(self.path)
        with owned(mkdirs_in_root(stage.root, parent)) as directory:
            try:
                os.mknod(name, self.mode, self.device, dir_fd=directory)
            except FileExistsError:
                found = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if (stat.S_IFMT(found.st_mode), found.st_rdev) == (stat.S_IFMT(self.mode), self.device):
                    return
                os.unlink(name, dir_fd=directory)
                os.mknod(name, self.mode, self.device, dir_fd=directory)
            except PermissionError:
                BindMount(self.path, self.path, recursive=False).execute(stage)
                return
            if self.uid or self.gid:
                os.chown(name, self.uid, self.gid, dir_fd=directory, follow_symlinks=False)


@dataclass(frozen=True)
class MakeDirectory:
    """Where the process begins: made when it is missing, as runc and Docker do for `--workdir`."""

    path: str

    def describe(self) -> str:
        return f"make working directory {self.path}"

    def execute(self, stage: Stage) -> None:
        try:
            os.close(mkdirs_in_root(stage.root, os.path.normpath(self.path)))
        except (NotADirectoryError, FileExistsError):
            return  # a file is in the way: chdir says so, in the words that people know


@dataclass(frozen=True)
class MakeLink:
    path: str
    target: str

    def describe(self) -> str:
        return f"link {self.path} to {self.target}"

    def execute(self, stage: Stage) -> None:
        parent, name = os.path.split(self.path)
        with owned(mkdirs_in_root(stage.root, parent)) as directory:
            try:
                os.symlink(self.target, name, dir_fd=directory)
            except FileExistsError:
                return  # the image's own choice stands


@dataclass(frozen=True)
class SetSysctl:
    """Through the container's own /proc: the host's may be read-only, and shows the same values."""

    key: str
    value: str

    def describe(self) -> str:
        return f"set sysctl {self.key} to {self.value!r}"

    def execute(self, stage: Stage) -> None:
        path = "/proc/sys/" + (self.key if "/" in self.key else self.key.replace(".", "/"))
        call = "open"
        try:
            with owned(open_in_root(stage.root, path, os.O_WRONLY)) as fd:
                call = "write"
                os.write(fd, self.value.encode())
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            text = f"error during container init: {call} {path}: {reason}"
            raise StartError("sysctl", error.errno or 0, text) from None


@dataclass(frozen=True)
class MaskPath:
    """Hide a path that shows or changes the host: an empty read-only directory, or /dev/null."""

    path: str

    def describe(self) -> str:
        return f"mask {self.path}"

    def execute(self, stage: Stage) -> None:
        try:
            target = open_in_root(stage.root, self.path, os.O_PATH)
        except OSError as error:
            if error.errno in _UNMASKABLE:
                return
            raise
        with owned(target):
            if stat.S_ISDIR(os.fstat(target).st_mode):
                libc.mount("tmpfs", proc_name(target), "tmpfs", c.MS_RDONLY, "size=0k,nr_inodes=1")
                return
            with owned(_open_null(stage)) as null:
                # Read-only, or the container's root could chmod it, and with a bound /dev the host's.
                attributes = c.MOUNT_ATTR_RDONLY | c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NOEXEC
                libc.mount_setattr(null, "", c.AT_EMPTY_PATH, attr_set=attributes)
                flags = c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH
                libc.move_mount(null, "", target, "", flags)


def _open_null(stage: Stage) -> int:
    """The container's own /dev/null, detached (the host's would show the host's /dev); the host's if it has none."""
    try:
        with owned(open_in_root(stage.root, "/dev/null", os.O_PATH)) as own:
            if os.fstat(own).st_rdev == os.makedev(1, 3):
                return libc.open_tree(own, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH)
    except FileNotFoundError:
        pass
    return libc.open_tree(c.AT_FDCWD, "/dev/null", c.OPEN_TREE_CLONE)


@dataclass(frozen=True)
class ReadonlyPath:
    """A read-only view of a path on top of itself."""

    path: str

    def describe(self) -> str:
        return f"make {self.path} read-only"

    def execute(self, stage: Stage) -> None:
        try:
            target = open_in_root(stage.root, self.path, os.O_PATH)
        except OSError as error:
            if error.errno in _UNMASKABLE:
                return
            raise
        with owned(target):
            flags = c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH | c.AT_RECURSIVE
            with owned(libc.open_tree(target, "", flags)) as tree:
                libc.mount_setattr(tree, "", c.AT_EMPTY_PATH, attr_set=c.MOUNT_ATTR_RDONLY)
                flags = c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH
                libc.move_mount(tree, "", target, "", flags)


@dataclass(frozen=True)
class ReadonlyRoot:
    def describe(self) -> str:
        return "make the root read-only"

    def execute(self, stage: Stage) -> None:
        libc.mount_setattr(stage.root, "", c.AT_EMPTY_PATH, attr_set=c.MOUNT_ATTR_RDONLY)


@dataclass(frozen=True)
class PivotRoot:
    """Make the new root "/" and let go of the host's tree (pivot_root(2), "pivot_root(".", ".")")."""

    propagation: int = 0

    def describe(self) -> str:
        return "pivot into the new root"

    def execute(self, stage: Stage) -> None:
        with owned(os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as old:
            os.fchdir(stage.root)
            libc.pivot_root(".", ".")
            os.fchdir(old)
            # A slave, so that unmounting it here unmounts nothing on the host.
            libc.mount(None, ".", None, c.MS_SLAVE | c.MS_REC)
            libc.umount2(".", c.MNT_DETACH)
        os.chdir("/")
        if self.propagation:
            libc.mount(None, "/", None, self.propagation)
